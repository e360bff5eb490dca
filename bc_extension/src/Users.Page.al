namespace OutlookContactSync;

using System.Security.AccessControl;

/// <summary>
/// Users of Business Central with the Microsoft 365 address that they sign in with: whose mailbox is whose.
/// The table belongs to all companies; systemModifiedBy of a contact is a userSecurityId.
/// </summary>
page 50002 "OCS Users"
{
    PageType = API;
    APIPublisher = 'contactSync';
    APIGroup = 'contacts';
    APIVersion = 'v1.0';
    EntityName = 'user';
    EntitySetName = 'users';
    EntityCaption = 'User';
    EntitySetCaption = 'Users';
    SourceTable = User;
    ODataKeyFields = "User Security ID";
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
                field(userSecurityId; Rec."User Security ID")
                {
                    Caption = 'User Security Id';
                    Editable = false;
                }
                field(userName; Rec."User Name")
                {
                    Caption = 'User Name';
                    Editable = false;
                }
                field(displayName; Rec."Full Name")
                {
                    Caption = 'Full Name';
                    Editable = false;
                }
                field(state; Rec.State)
                {
                    Caption = 'State';
                    Editable = false;
                }
                field(authenticationEmail; Rec."Authentication Email")
                {
                    Caption = 'Authentication Email';
                    Editable = false;
                }
            }
        }
    }
}
