#!/usr/bin/env python
"""Entry point of every management command."""

import os
import sys


def main() -> None:
    """Run the command line with our settings as the default; what is wrong with them is told in one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings.base")
    if sys.argv[1:2] == ["serve"]:
        os.environ["GATEWAY_PROCESS"] = "supervisor"
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from gateway_project.core.acting import acting_as

    try:
        with acting_as(f"command:{sys.argv[1] if len(sys.argv) > 1 else 'help'}"):
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The configuration is wrong: {error}")


if __name__ == "__main__":
    main()
