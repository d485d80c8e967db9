"""Settings: the only reader of the environment. All else takes arguments.

Order: environment (``LESIONSTREAM_*``), the TOML file named by ``LESIONSTREAM_CONFIG``, defaults.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from wire.cluster import Mechanism
from wire.topics import Names


class SettingsError(Exception):
    """A setting has a value that cannot be used.

    Operator action: correct the variable or the line of the TOML file that is named.
    """


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(env_prefix="LESIONSTREAM_", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".lesionstream"),
        description="state folder: local broker and cache, key, quarantine, logs",
    )
    kafka: str | None = Field(
        None,
        pattern=r"^[^\s,/]+:\d{1,5}(,[^\s,/]+:\d{1,5})*$",
        description="host:port[,host:port] of a running Kafka",
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how it is spoken to"
    )
    kafka_user: str | None = Field(None, min_length=1, description="as whom, with SASL_SSL")
    kafka_password: SecretStr | None = Field(None, description="of that user; better a file")
    kafka_password_file: Path | None = Field(
        None, description="holds the password alone; not readable by everybody"
    )
    kafka_mechanism: Mechanism = Field("SCRAM-SHA-512", description="how the password is proved")
    kafka_ca: Path | None = Field(
        None, description="PEM certificates of the brokers' authorities; default: this machine's"
    )
    redis: str | None = Field(
        None,
        pattern=r"^(rediss?|unix)://\S+$",
        description="redis://host:port/db of a running Redis; rediss:// with TLS",
        repr=False,  # may hold a password
    )
    redis_user: str | None = Field(None, min_length=1, description="its ACL user")
    redis_password: SecretStr | None = Field(None, description="of that user; better a file")
    redis_password_file: Path | None = Field(
        None, description="holds the password alone; not readable by everybody"
    )
    redis_ca: Path | None = Field(
        None, description="PEM certificates of Redis's authorities; default: this machine's"
    )
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="before topics, groups and keys"
    )
    key_file: Path | None = Field(
        None, description="key of the pseudonyms; default: pseudonym.key in the state folder"
    )
    vault_key_file: Path | None = Field(
        None, description="key of the names; default: vault.key in the state folder"
    )
    tls_certificate: Path | None = Field(
        None, description="PEM certificate of the DICOM listener; with the two others: TLS alone"
    )
    tls_key: Path | None = Field(None, description="PEM key of that certificate, not encrypted")
    tls_ca: Path | None = Field(
        None, description="PEM certificates of the authorities that devices must be certified by"
    )
    spool_bytes: int = Field(
        10 << 30, gt=0, description="of each listener's spool, used while no broker takes frames"
    )
    engine: str | None = Field(
        None, description="engine that scores; default: the one promoted, else the shipped one"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs")
    runtime: Literal["onnxruntime", "openvino"] = Field(
        "onnxruntime", description="what computes on a CPU; openvino is an extra"
    )
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = Field(
        "auto", description="of the engine; auto is what its card says, on a GPU fp32"
    )
    plans: Path | None = Field(
        None, description="folder of TensorRT's plans; default: plans in the state folder"
    )
    engine_threads: int | None = Field(None, ge=1, description="CPU threads of the engine")
    decoders: int | None = Field(
        None,
        ge=1,
        description="processes of a scoring worker that decode and find the lungs; "
        "default: 1, and more where a GPU waits for them",
    )
    policy: str = Field(
        "longitudinal",
        description="what decides: longitudinal, threshold, or a TOML file with a site's data",
    )
    models: str = Field(
        "response",
        pattern=r"^[a-z0-9-]+(,[a-z0-9-]+)*$",
        description="engines that worker models asks about each final series, comma-separated",
    )
    next_visit_days: float = Field(
        42.0, gt=0, description="from a study to the next one, for which response is forecast"
    )
    retention_days: float | None = Field(
        None, gt=0, description="patients of whom nothing came for so long are forgotten"
    )
    http: str = Field(
        "127.0.0.1:0",
        pattern=r"^[^\s:/]+:\d{1,5}$",
        description="host:port of /metrics, /live and /ready; port 0 takes a free one",
    )
    monitor: str = Field(
        "127.0.0.1:8080",
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):\d{1,5}$",
        description="host:port of the bedside monitor",
    )
    users_file: Path | None = Field(
        None, description="who may see the monitor; default: users.toml in the state folder"
    )
    beds: Path | None = Field(
        None, description="CSV: PatientID or pseudonym, and the bed, as the monitor shows it"
    )
    trusted_proxies: str = Field(
        "", description="addresses or networks, comma-separated, whose word on users is believed"
    )
    user_header: str = Field(
        "X-Forwarded-User", pattern=r"^[A-Za-z0-9-]+$", description="in which such a proxy names"
    )
    role_header: str = Field(
        "X-Forwarded-Role", pattern=r"^[A-Za-z0-9-]+$", description="in which it says the role"
    )
    workers: str | None = Field(
        None,
        pattern=r"^https?://[^\s,/]+(,https?://[^\s,/]+)*$",
        description="http://host:port[,...] of workers elsewhere, for the watchdog to ask; a name "
        "may stand for several",
    )
    frames_quiet_s: float | None = Field(
        None, gt=0, description="without a frame for so many seconds the watchdog alarms"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        object.__setattr__(self, "home", self.home.absolute())
        return self

    @property
    def names(self) -> Names:
        """Return the names of topics and groups."""
        return Names(self.topic_prefix)

    @property
    def pseudonym_key_file(self) -> Path:
        """Return where the key of the pseudonyms lies."""
        return self.key_file or self.home / "pseudonym.key"

    @property
    def users(self) -> Path:
        """Return where the users of the monitor stand."""
        return self.users_file or self.home / "users.toml"

    @property
    def names_key_file(self) -> Path:
        """Return where the key of the vault lies."""
        return self.vault_key_file or self.home / "vault.key"

    @property
    def vault(self) -> Path:
        """Return where the vault lies: the names of patients, encrypted."""
        return self.home / "vault.sqlite"

    @property
    def tls_files(self) -> list[Path]:
        """Return those of certificate, key and authorities that are set."""
        return [file for file in (self.tls_certificate, self.tls_key, self.tls_ca) if file]

    @property
    def spool(self) -> Path:
        """Return the folder of the listeners' spools."""
        return self.home / "spool"

    @property
    def receiving(self) -> Path:
        """Return where listeners write what is on its way in."""
        return self.home / "receiving"

    @property
    def plans_folder(self) -> Path:
        """Return where TensorRT's plans lie."""
        return self.plans or self.home / "plans"

    @property
    def quarantine(self) -> Path:
        """Return the quarantine folder."""
        return self.home / "quarantine"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the TOML file."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        file = os.environ.get("LESIONSTREAM_CONFIG")
        if file:
            sources.append(TomlConfigSettingsSource(settings_cls, Path(file)))
        return tuple(sources)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process.

    Raises
    ------
    SettingsError   one cannot be used; the message names it.
    """
    file = os.environ.get("LESIONSTREAM_CONFIG")
    if file and not Path(file).is_file():
        raise SettingsError(f"LESIONSTREAM_CONFIG names {file}, which is no file")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "LESIONSTREAM_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{name}: {first['msg']}") from error
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from error
