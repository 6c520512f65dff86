"""The admin: what people see, may do, and can't break."""
