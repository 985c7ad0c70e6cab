# Who may approve an invoice, by its body: {"amount": ..., "department": ..., "author": ...}.
package approval

invoice := input.parsed_body

own if invoice.author == input.principal.subject

# The smallest limit that applies: the department's, or the company's where it has none.
default limit := 1000

limit := data.limits[invoice.department]

within_limit if {
	invoice.amount <= limit
	invoice.department == input.claims.department
}

# Directors approve for every department.
within_limit if {
	invoice.amount <= data.limits.company
	input.principal.subject in data.directors
}
