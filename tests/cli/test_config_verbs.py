"""`trapd check` and `trapd schema` as a person and a program meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trapd.cli.config import check, schema
from trapd.config import json_schema

NO_FILTER = "filter: {backend: none}\n"  # these tests are not about the model
HERE = "sensor: {backend: timer}\ncamera: {backend: replay, path: photographs}\n"  # in every version
SOUND = f"unit: {{id: ridge-07}}\nmqtt: {{host: b}}\n{HERE}{NO_FILTER}"


def run(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(check, arguments)


def file(folder: Path, text: str) -> str:
    path = folder / "unit.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_sound_file_ends_with_0(tmp_path: Path) -> None:
    """One closing line."""
    result = run("--config", file(tmp_path, SOUND))
    assert (result.exit_code, result.output) == (0, "unit.yaml is sound\n")


def test_every_fault_on_a_line_and_78(tmp_path: Path) -> None:
    """Path, message, hint; then how many."""
    result = run(
        "--config", file(tmp_path, f"unit: {{id: ridge-07}}\nmqtt: {{prot: 1, port: x}}\n{NO_FILTER}")
    )
    assert result.exit_code == 78
    assert result.output == (
        "mqtt.prot: is not a known key in mqtt (did you mean mqtt.port?)\n"
        "mqtt.host: is required (for example host: broker.example.org)\n"
        "mqtt.port: must be a whole number from 1 to 65535, is 'x'\n"
        "unit.yaml cannot be used: 3 faults\n"
    )


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    """They are marked, and counted."""
    result = run("--config", file(tmp_path, SOUND + "burst: {pre_trigger: true}\n"))
    assert result.exit_code == 0
    assert result.output == (
        "warning: burst.pre_trigger: has no effect with camera.backend replay:"
        " its photographs have no time before the trigger (leave it out)\n"
        "unit.yaml is sound, with 1 warning\n"
    )


def test_json_for_programs(tmp_path: Path) -> None:
    """One object with ok, errors and warnings, each with path, message and hint."""
    found = json.loads(
        run("--json", "--config", file(tmp_path, "unit: {id: ridge-07}\nmqtt: {host: b, prot: 1}")).output
    )
    fault = {"path": "mqtt.prot", "message": "is not a known key in mqtt", "hint": "did you mean mqtt.port?"}
    assert found == {"ok": False, "errors": [fault], "warnings": []}
    sound = run("--json", "--config", file(tmp_path, f"{SOUND}filter_: 1\n"))
    assert sound.exit_code == 78
    result = run("--json", "--config", file(tmp_path, SOUND.replace("host: b", "host: b, protocol: 3.1.1")))
    found = json.loads(result.output)
    assert (result.exit_code, found["ok"], found["errors"]) == (0, True, [])
    assert [warning["path"] for warning in found["warnings"]] == ["mqtt.protocol"]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "\x01"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    """Told about the file as a whole."""
    result = run("--config", file(tmp_path, text))
    assert result.exit_code == 78
    assert result.output.startswith("unit.yaml: ")
    assert result.output.endswith("unit.yaml cannot be used: 1 fault\n")


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is named and missing, and none where one is looked for, are faults of the configuration."""
    assert run("--config", str(tmp_path / "none.yaml")).exit_code == 78
    monkeypatch.chdir(tmp_path)
    if not Path("/etc/trapd/config.yaml").exists():
        result = run()
        assert result.exit_code == 78
        assert "there is neither /etc/trapd/config.yaml nor config.yaml" in result.output


def test_the_file_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where the system has none."""
    if Path("/etc/trapd/config.yaml").exists():
        return
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SOUND)
    assert run().output == "config.yaml is sound\n"


def test_a_model_that_cannot_be_used_is_a_warning(tmp_path: Path) -> None:
    """The unit would stay up and keep every burst, so the configuration is sound."""
    text = SOUND.replace("backend: none", "model: no-such-model") + f"storage: {{path: {tmp_path}}}\n"
    result = run("--json", "--config", file(tmp_path, text))
    assert result.exit_code == 0
    [warning] = json.loads(result.output)["warnings"]
    assert warning["path"] == "filter.model"
    assert warning["message"].startswith("cannot be used, every burst would be kept: ")


def test_schema_prints_the_schema() -> None:
    """As JSON, and nothing else."""
    result = CliRunner(catch_exceptions=False).invoke(schema, [])
    assert result.exit_code == 0
    assert json.loads(result.output) == json_schema()
