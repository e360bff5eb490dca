namespace OutlookContactSync;

using Microsoft.CRM.Team;

/// <summary>
/// Salespeople with their e-mail addresses: which code belongs to which colleague.
/// </summary>
page 50001 "OCS Salespeople"
{
    PageType = API;
    APIPublisher = 'contactSync';
    APIGroup = 'contacts';
    APIVersion = 'v1.0';
    EntityName = 'salespersonPurchaser';
    EntitySetName = 'salespeoplePurchasers';
    EntityCaption = 'Salesperson/Purchaser';
    EntitySetCaption = 'Salespeople/Purchasers';
    SourceTable = "Salesperson/Purchaser";
    ODataKeyFields = SystemId;
    Editable = false;
    InsertAllowed = false;
    ModifyAllowed = false;
    DeleteAllowed = false;
    Extensible = false;
    ApplicationArea = All;

    layout
    {
        area(Content)
        {
            repeater(Records)
            {
                field(id; Rec.SystemId)
                {
                    Caption = 'Id';
                    Editable = false;
                }
                field("code"; Rec.Code)
                {
                    Caption = 'Code';
                    Editable = false;
                }
                field(displayName; Rec.Name)
                {
                    Caption = 'Name';
                    Editable = false;
                }
                field(email; Rec."E-Mail")
                {
                    Caption = 'Email';
                    Editable = false;
                }
            }
        }
    }
}
