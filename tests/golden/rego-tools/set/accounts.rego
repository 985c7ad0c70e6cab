# Accounts that nobody uses any more.
package accounts

closed if input.principal.subject in data.closed
