"""How people sign in: password, second factor, passkey, single sign-on; all of it on Django's handler."""
