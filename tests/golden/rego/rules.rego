package shop["my-reports"]

allow if input.claims.tenant in data.tenants
