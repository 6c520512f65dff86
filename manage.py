#!/usr/bin/env python
"""Entry point of every management command."""

import os
import sys

from gateway_project.collector import spare

# Commands that need no admin, which takes half a second to load.
_WITHOUT_PAGES = {"serve": "supervisor", "bootstrap": "preparation"}


def main() -> None:
    """Run the command line with our settings as the default; what is wrong with them is told in one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings.base")
    spare()
    if (role := _WITHOUT_PAGES.get(sys.argv[1] if len(sys.argv) > 1 else "")) is not None:
        os.environ["GATEWAY_PROCESS"] = role
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from gateway_project.core.acting import acting_as
    from gateway_project.first_secrets import SecretsError, write_secrets

    try:
        if sys.argv[1:] == ["bootstrap"]:
            # The command does so too; here nothing that it would then load again is loaded yet.
            write_secrets()
        with acting_as(f"command:{sys.argv[1] if len(sys.argv) > 1 else 'help'}"):
            execute_from_command_line(sys.argv)
    except SecretsError as error:
        sys.exit(str(error))
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The configuration is wrong: {error}")


if __name__ == "__main__":
    main()
