namespace OutlookContactSync;

using Microsoft.CRM.Contact;

/// <summary>
/// Contacts of a company, as the field profile "extended" of the contact sync reads and writes them.
/// Only what the sync writes can be changed here, in the order in which it is sent: BC's own triggers depend on it.
/// </summary>
page 50000 "OCS Contacts"
{
    PageType = API;
    APIPublisher = 'contactSync';
    APIGroup = 'contacts';
    APIVersion = 'v1.0';
    EntityName = 'contact';
    EntitySetName = 'contacts';
    EntityCaption = 'Contact';
    EntitySetCaption = 'Contacts';
    SourceTable = Contact;
    ODataKeyFields = SystemId;
    DelayedInsert = true;
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
                field(number; Rec."No.")
                {
                    Caption = 'No.';
                    Editable = false;
                }
                field(type; Rec.Type)
                {
                    Caption = 'Type';
                }
                field(displayName; Rec.Name)
                {
                    Caption = 'Name';
                    ShowMandatory = true;
                }
                field(firstName; Rec."First Name")
                {
                    Caption = 'First Name';
                }
                field(middleName; Rec."Middle Name")
                {
                    Caption = 'Middle Name';
                }
                field(surname; Rec.Surname)
                {
                    Caption = 'Surname';
                }
                field(initials; Rec.Initials)
                {
                    Caption = 'Initials';
                }
                field(companyNumber; Rec."Company No.")
                {
                    Caption = 'Company No.';
                }
                field(companyName; Rec."Company Name")
                {
                    Caption = 'Company Name';
                    Editable = false;
                }
                field(jobTitle; Rec."Job Title")
                {
                    Caption = 'Job Title';
                }
                field(country; Rec."Country/Region Code")
                {
                    Caption = 'Country/Region Code';
                }
                field(postalCode; Rec."Post Code")
                {
                    Caption = 'Post Code';
                }
                field(city; Rec.City)
                {
                    Caption = 'City';
                }
                field(state; Rec.County)
                {
                    Caption = 'County';
                }
                field(addressLine1; Rec.Address)
                {
                    Caption = 'Address';
                }
                field(addressLine2; Rec."Address 2")
                {
                    Caption = 'Address 2';
                }
                field(phoneNumber; Rec."Phone No.")
                {
                    Caption = 'Phone No.';
                }
                field(mobilePhoneNumber; Rec."Mobile Phone No.")
                {
                    Caption = 'Mobile Phone No.';
                }
                field(email; Rec."E-Mail")
                {
                    Caption = 'Email';
                }
                field(email2; Rec."E-Mail 2")
                {
                    Caption = 'Email 2';
                }
                field(website; Rec."Home Page")
                {
                    Caption = 'Home Page';
                }
                field(salespersonCode; Rec."Salesperson Code")
                {
                    Caption = 'Salesperson Code';
                    Editable = false;
                }
                field(territoryCode; Rec."Territory Code")
                {
                    Caption = 'Territory Code';
                    Editable = false;
                }
                field(languageCode; Rec."Language Code")
                {
                    Caption = 'Language Code';
                    Editable = false;
                }
                field(searchName; Rec."Search Name")
                {
                    Caption = 'Search Name';
                    Editable = false;
                }
                field(contactBusinessRelation; Rec."Contact Business Relation")
                {
                    Caption = 'Contact Business Relation';
                    Editable = false;
                }
                field(taxRegistrationNumber; Rec."VAT Registration No.")
                {
                    Caption = 'VAT Registration No.';
                    Editable = false;
                }
                field(lastInteractionDate; Rec."Date of Last Interaction")
                {
                    Caption = 'Date of Last Interaction';
                    Editable = false;
                }
                field(privacyBlocked; Rec."Privacy Blocked")
                {
                    Caption = 'Privacy Blocked';
                    Editable = false;
                }
                field(minor; Rec.Minor)
                {
                    Caption = 'Minor';
                    Editable = false;
                }
                field(lastModifiedDateTime; Rec.SystemModifiedAt)
                {
                    Caption = 'Last Modified At';
                    Editable = false;
                }
                field(systemModifiedBy; Rec.SystemModifiedBy)
                {
                    Caption = 'Last Modified By';
                    Editable = false;
                }
                field(systemRowVersion; Rec.SystemRowVersion)
                {
                    Caption = 'Row Version';
                    Editable = false;
                }
            }
        }
    }

    trigger OnInsertRecord(BelowxRec: Boolean): Boolean
    begin
        CheckName();
        exit(true);
    end;

    trigger OnModifyRecord(): Boolean
    begin
        CheckName();
        exit(true);
    end;

    var
        NameMissingErr: Label 'displayName must be filled in.', Comment = 'displayName is the name of a property and is not translated.';

    /// <summary>
    /// Blank name parts make a blank name (table Contact, CalculatedName): a contact is never saved like that.
    /// </summary>
    local procedure CheckName()
    begin
        if Rec.Name = '' then
            Error(NameMissingErr);
    end;
}
