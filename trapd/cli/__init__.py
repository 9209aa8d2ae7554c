"""The command line.

`main` is the only place that ends the process; it turns errors into sentences and exit codes:
0 done, 1 did not succeed, 2 wrong usage, 78 the local configuration cannot be used, 130 interrupted.

The daemon does without the library that reads command lines: what starts it is read here. Everything else is
`trapd.cli.verbs`.
"""

from __future__ import annotations

import sys

from trapd.errors import ConfigurationError, TrapdError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130  # as shells have it for SIGINT


def main() -> None:
    """Run one verb and end the process."""
    try:
        code = _call(sys.argv[1:])
    except ConfigurationError as error:
        _say(str(error))
        for fault in error.faults:
            where = f"{fault.path}: " if fault.path else ""  # else it is of the file as a whole
            hint = f" ({fault.hint})" if fault.hint else ""
            print(f"  {where}{fault.message}{hint}", file=sys.stderr)
        code = EXIT_CONFIG
    except TrapdError as error:
        _say(str(error))
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except PermissionError as error:
        if error.filename is None:
            raise
        _say(f"{error.filename}: {error.strerror} (call trapd as the unit's user)")
        code = EXIT_FAILED
    except KeyboardInterrupt:  # before a verb is there to see it
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _call(arguments: list[str]) -> int:
    if arguments[:1] == ["run"]:
        plain, config = _config_alone(arguments[1:])
        if plain:
            from trapd.cli.daemon import run

            run(config)
            return 0
    from trapd.cli.verbs import call

    return call()


def _config_alone(arguments: list[str]) -> tuple[bool, str | None]:
    """Whether that is nothing but `--config FILE`, or nothing at all; and the file."""
    match arguments:
        case []:
            return True, None
        case ["--config", file]:
            return True, file
        case [one] if one.startswith("--config="):
            return True, one.removeprefix("--config=")
    return False, None


def _say(text: str) -> None:
    print(f"trapd: {text}", file=sys.stderr)
