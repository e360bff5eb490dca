namespace OutlookContactSync;

using Microsoft.Bank.BankAccount;
using Microsoft.CRM.BusinessRelation;
using Microsoft.CRM.Contact;
using Microsoft.CRM.Interaction;
using Microsoft.CRM.Opportunity;
using Microsoft.CRM.Segment;
using Microsoft.CRM.Setup;
using Microsoft.CRM.Task;
using Microsoft.CRM.Team;
using Microsoft.Finance.GeneralLedger.Setup;
using Microsoft.Finance.VAT.Registration;
using Microsoft.Foundation.Address;
using Microsoft.Foundation.Company;
using Microsoft.Foundation.NoSeries;
using Microsoft.HumanResources.Employee;
using Microsoft.Purchases.Vendor;
using Microsoft.Sales.Customer;
using Microsoft.Sales.Document;
using System.Security.AccessControl;
using System.Security.User;

/// <summary>
/// What the contact sync needs beside D365 BASIC, and no more. Nothing may be deleted with it.
/// Small letters are indirect rights: they hold only inside code of the base application that has them, too.
/// </summary>
permissionset 50000 "OCS Contact Sync"
{
    Access = Public;
    Assignable = true;
    Caption = 'Outlook contact sync', MaxLength = 30;

    Permissions =
        // The pages of this extension, and the tables that they and the countries of API v2.0 show.
        page "OCS Contacts" = X,
        page "OCS Salespeople" = X,
        page "OCS Users" = X,
        tabledata Contact = RIM,
        tabledata "Salesperson/Purchaser" = R,
        tabledata User = R,
        tabledata "Country/Region" = R,
        // Date of Last Interaction is computed from these entries; a change of company moves them along.
        tabledata "Interaction Log Entry" = Rm,
        // Numbers and defaults of a new person: OnInsert of table Contact.
        tabledata "Marketing Setup" = R,
        tabledata "No. Series" = r,
        tabledata "No. Series Line" = rm,
        tabledata "User Setup" = R,
        // What the triggers of country, post code, city and company look up.
        tabledata "Post Code" = R,
        tabledata "General Ledger Setup" = R,
        tabledata "Company Information" = R,
        tabledata "VAT Registration No. Format" = R,
        tabledata "VAT Reg. No. Srv Config" = R,
        tabledata "VAT Registration Log" = ri,
        tabledata "Segment Line" = R,
        // Records that follow a contact: its customer, vendor, bank account or employee, and what is open for it.
        tabledata "Contact Business Relation" = r,
        tabledata Customer = Rm,
        tabledata Vendor = RM,
        tabledata "Bank Account" = rm,
        tabledata Employee = rm,
        tabledata Opportunity = rm,
        tabledata "Opportunity Entry" = rm,
        tabledata "To-do" = rm,
        tabledata "Sales Header" = rm;
}
