"""How people sign in to the admin: password, second factor, passkey, single sign-on; all on Django's handler."""
