"""Look at a table, and write what was found to params.yaml (`evertune use`).

What counts, in this order: the options of the command; what params.yaml says under `data`, as far
as it fits the table; what the table itself shows. A table that cannot be used changes nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from evertune.config.loader import load_params
from evertune.config.schema import DataSection, DialectSection, SplitSection, is_query
from evertune.config.yaml_file import edit_sections
from evertune.data.cleaning import OPTIONAL_ROLES, prepare_table
from evertune.data.csv_dialects import DELIMITER_WORDS
from evertune.data.example import training_table
from evertune.data.folds import schema_fold_kind
from evertune.data.parsing import as_text
from evertune.data.profiling import TableProfile, find_identifier, profile_table
from evertune.data.readers import SourceTable, inspect_source, spec_from_params, table_error
from evertune.data.schema import NO_COLUMN, PreparedTable, TableSchema, TableSpec
from evertune.data.target import match_class, parse_class_labels
from evertune.data.validation import DataIssue, join_names
from evertune.errors import InputError, TableError
from evertune.messages import did_you_mean
from evertune.project import registry_name
from evertune.types import ColumnKind, Task
from evertune.versioning import dvc

EXAMPLE_SOURCE = "example"
EXAMPLE_VALUES = {"time": "date", "positive": "yes"}  # what params.yaml says of the example
COLUMN_ROLES = (*OPTIONAL_ROLES, "weight", "human_column", "existing_column")


def show_nothing(_text: str, _done: float | None) -> None:
    """Show no progress."""


def configure_project(
    root: Path,
    file: str,
    *,
    target: str,
    task: str | None = None,
    positive: str | None = None,
    labels: str | None = None,
    identifier: str | None = None,
    time: str | None = None,
    group: str | None = None,
    missing: Sequence[str] = (),
    ignore: Sequence[str] = (),
    kind: Sequence[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    address_variable: str | None = None,
    show: Callable[[str, float | None], None] = show_nothing,
) -> TableProfile:
    """Look at a table, write what was found to params.yaml, and return it.

    What params.yaml says under `data` beyond the arguments stays as it is where it fits the table,
    also if it was said of another file; the profile's first note names what does not fit.

    Parameters
    ----------
    root : Path
        The project's folder.
    file : str
        A CSV, Parquet or .sql file, from the working directory or absolute; or `example`.
    target : str
        The name of a column.
    task : str, optional
        binary, multiclass or regression.
    positive : str, optional
        The class of interest; the rarer one by default.
    labels : str, optional
        `exact`: labels are classes as they are written, such as `hid` and `hId`.
    identifier, time, group : str, optional
        Names of columns; `null`: there is none.
    missing, ignore : sequence of str
        Words that mean "missing", and columns that no model may see, beside those of params.yaml.
    kind : sequence of str
        Kinds of columns, such as `zip=category`.
    delimiter, encoding, decimal : str, optional
        How a CSV file is written.
    address_variable : str, optional
        Of a .sql file: the environment variable that holds the database's address.
    show : function
        Called with what is done now, and None: what part of the work is done is not known.

    Raises
    ------
    InputError
        An argument has no such value.
    TableError
        The table cannot be used; params.yaml stays as it was.
    UnsafeError
        DVC cannot work in a folder with that path.
    """
    dvc.check_folder_path(root.absolute())
    path = Path(file).absolute()
    if file != EXAMPLE_SOURCE:  # a file in the project is named from its folder
        inside = path.is_relative_to(root.absolute())
        file = str(path.relative_to(root.absolute()) if inside else path)
    if target in ignore:
        raise InputError(f"--ignore {target!r}: it is the target.")
    command = _Command(
        root,
        file,
        target=target,
        roles={"identifier": identifier, "time": time, "group": group},
        missing=tuple(missing),
        ignore=tuple(ignore),
        kinds=_parse_kinds(kind, target=target),
        dialect=_parse_dialect(delimiter=delimiter, encoding=encoding, decimal=decimal),
        values={
            "task": _parse_choice("task", task, get_args(Task)),
            "positive": positive,
            "labels": _parse_choice("labels", labels, ("auto", "exact")),
            "address_variable": address_variable,
        },
        show=show,
    )
    params = load_params(root)
    found = command.inspect(params.data)
    schema, data = found.schema, found.data
    if positive is not None and schema.task != "binary":
        raise TableError(
            f"{file}: expected a target with two classes, one of them {positive!r}, but"
            f" {schema.target!r} makes a {schema.task} task. Leave --positive out, or choose a"
            " target with two values."
        )
    values = data.model_dump(mode="json") | {
        "identifier": schema.identifier,
        "task": schema.task,
        "positive": schema.classes[1] if schema.task == "binary" else "auto",
        "columns": {column.name: column.kind for column in schema.features},
        "dialect": data.dialect.model_dump(exclude_none=True),
    }
    show("writing params.yaml", None)
    registry = {"name": registry_name(file)}
    edit_sections(root / "params.yaml", {"data": values, "registry": registry})
    show(f"looking for what is suspicious in {found.source.table.shape[1]} columns", None)
    today = datetime.now(UTC).replace(tzinfo=None)
    profile = profile_table(found.source.table, found.prepared, found.spec, today=today)
    rare = _rare_class_notes(found, params.split)
    return replace(profile, notes=(*found.notes, *found.source.notes, *profile.notes, *rare))


def _rare_class_notes(found: "_Found", split: SplitSection) -> Iterator[str]:
    """Yield the rarest class if it has too few rows for the folds, which a run would refuse."""
    schema = found.schema
    if not schema.classes or schema_fold_kind(split.folds, schema) != "stratified":
        return
    counts = found.prepared.clean[schema.target].value_counts()
    left = int(counts.min() * (1 - split.holdout_fraction))
    if left < split.n_folds:
        fewer = f"split.n_folds: {left} or " if left >= 2 else ""
        yield (
            f"class {counts.idxmin()!r} has {counts.min()} rows, some {left} of them for training:"
            f" too few for split.n_folds {split.n_folds}. Set {fewer}split.folds: kfold in"
            " params.yaml, or merge it with another class"
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """A table that can be used, the section `data` for it, and what did not fit it."""

    data: DataSection
    source: SourceTable
    spec: TableSpec
    prepared: PreparedTable
    notes: tuple[str, ...]

    @property
    def schema(self) -> TableSchema:
        return self.prepared.schema


@dataclass(frozen=True, eq=False)
class _Command:
    """The options of a command, and what they make of params.yaml and of a table."""

    root: Path
    file: str
    target: str
    roles: Mapping[str, str | None]
    missing: tuple[str, ...]
    ignore: tuple[str, ...]
    kinds: Mapping[str, ColumnKind]
    dialect: Mapping[str, str]
    values: Mapping[str, str | None]
    show: Callable[[str, float | None], None]

    def inspect(self, written: DataSection) -> _Found:
        """Return the table, read by the options and by what params.yaml says.

        How another file is written, and of which kind its columns are, need not hold for this one:
        then what the table shows comes first, and of several refusals the one with the fewest
        faults is raised.
        """
        written, foreign = self._of_this_target(written)
        dialects, choices = [written.dialect], [True]
        if written.source != self.file:
            dialects = list(dict.fromkeys([DialectSection(), written.dialect]))
            choices += [False] if written.columns or written.task != "auto" else []
        refusals: list[tuple[tuple[bool, float], TableError]] = []
        for dialect in dialects:
            try:
                self.show(f"reading {self.file}", None)
                source = self._read(written, dialect)
            except TableError as error:
                refusals.append(((True, math.inf), error))
                continue
            self.show(f"reading the cells of {source.table.shape[1]} columns", None)
            for with_kinds in choices:
                found, issues = self._prepare(written, source, foreign, with_kinds=with_kinds)
                if found is not None:
                    return found
                is_other = self.target not in source.table.columns
                refusal = table_error(issues, source=self.file, command="the same command")
                refusals.append(((is_other, len(issues)), refusal))
        raise min(refusals, key=lambda ranked: ranked[0])[1]

    def _of_this_target(self, written: DataSection) -> tuple[DataSection, list[str]]:
        """Return params.yaml without what holds for another target only, and what is to be told."""
        if written.source == EXAMPLE_SOURCE:
            if self.file != EXAMPLE_SOURCE:
                plain = DataSection(source=self.file, target=self.target)
                shipped = [
                    key for key, value in EXAMPLE_VALUES.items() if value == getattr(written, key)
                ]
                written = written.model_copy(update={key: getattr(plain, key) for key in shipped})
            return written, []
        if written.target == self.target:
            return written, []
        predictions = ("human_column", "existing_column", "existing_model")
        foreign = [
            f"{key} {getattr(written, key)!r}" for key in predictions if getattr(written, key)
        ]
        nothing = {"task": "auto", "positive": "auto", "labels": "auto"} | dict.fromkeys(
            predictions
        )
        return written.model_copy(update=nothing), foreign

    def _read(self, written: DataSection, dialect: DialectSection) -> SourceTable:
        if self.file == EXAMPLE_SOURCE:
            return SourceTable(training_table())
        update = {
            "source": self.file,
            "dialect": dialect.model_copy(update=self.dialect),
            "address_variable": self._address_variable(written),
        }
        return inspect_source(written.model_copy(update=update), self.root)

    def _address_variable(self, written: DataSection) -> str | None:
        former = written.address_variable if is_query(self.file) else None
        return self.values["address_variable"] or former

    def _prepare(
        self, written: DataSection, source: SourceTable, foreign: list[str], *, with_kinds: bool
    ) -> tuple[_Found | None, tuple[DataIssue, ...]]:
        """Return the table that the options and the fitting values make; else its issues."""
        table, names = source.table, [str(name) for name in source.table.columns]
        data, unfit = self._fitting(written, names, with_kinds=with_kinds)
        data = data.model_copy(update={"dialect": source.dialect})
        if self.values["positive"] is not None:
            data = data.model_copy(update={"positive": self.values["positive"]})
        elif data.positive != "auto" and self.target in names:
            labels = parse_class_labels(table[self.target], data.missing_values).dropna().unique()
            if len(labels) > 2 or match_class(data.positive, labels.tolist()) is None:
                unfit.append(f"positive {data.positive!r}")
                data = data.model_copy(update={"positive": "auto"})
        # the predictions of a registered model are no column of the source
        spec = spec_from_params(data.model_copy(update={"existing_model": None}), table)
        if self.target in names and data.identifier is None and self.roles["identifier"] is None:
            spec = replace(spec, identifier=find_identifier(table, spec))
        prepared, issues = prepare_table(table, spec)
        issues = (*self._absent_words(source, issues), *issues)
        if prepared is None or issues:
            return None, issues
        schema = prepared.schema
        if not with_kinds:
            inferred = {column.name: column.kind for column in schema.features}
            unfit += [
                f"kind {name}={kind}"
                for name, kind in written.columns.items()
                if inferred.get(name, kind) != kind
            ]
            unfit += [f"task {written.task}"] if written.task not in {"auto", schema.task} else []
        unfit += foreign
        left = "params.yaml says what does not fit this table, and it is left out: "
        notes = (left + join_names(unfit),) if unfit else ()
        return _Found(data, source, spec, prepared, notes), ()

    def _fitting(
        self, written: DataSection, names: list[str], *, with_kinds: bool
    ) -> tuple[DataSection, list[str]]:
        """Return params.yaml with the options, without columns that are not there, and those."""
        known = set(names)
        asked = {role: name for role, name in self.roles.items() if name is not None}
        given = {
            role: None if name == NO_COLUMN and NO_COLUMN not in known else name
            for role, name in asked.items()
        }
        taken = {self.target, *given.values(), *self.ignore}
        former = {role: getattr(written, role) for role in COLUMN_ROLES if role not in given}
        kept = {
            role: name if name in known and name not in taken else None
            for role, name in former.items()
        }
        unfit = [f"{role} {name!r}" for role, name in former.items() if name and name not in known]
        unfit += [f"ignore {name!r}" for name in written.ignore if name not in known]
        unfit += [f"column {name!r}" for name in written.columns if name not in known]
        used = {self.target, *given.values(), *kept.values()}
        ignore = [
            *(name for name in written.ignore if name in known and name not in self.kinds),
            *self.ignore,
        ]
        ignore = [name for name in dict.fromkeys(ignore) if name not in used]
        columns = {
            name: kind
            for name, kind in written.columns.items()
            if with_kinds and name in known and name not in used and name not in ignore
        }
        update = {
            "source": self.file,
            "target": self.target,
            "task": self.values["task"] or (written.task if with_kinds else "auto"),
            "labels": self.values["labels"] or written.labels,
            "ignore": tuple(ignore),
            "columns": columns | dict(self.kinds),
            "missing_values": tuple(dict.fromkeys((*written.missing_values, *self.missing))),
            "address_variable": self._address_variable(written),
        }
        return written.model_copy(update=update | given | kept), unfit

    def _absent_words(
        self, source: SourceTable, issues: Sequence[DataIssue]
    ) -> Iterator[DataIssue]:
        """Yield an issue for each word that is to mean "missing" and that no cell holds."""
        left = set(self.missing)
        for _, column in source.table.items() if left else ():
            for cells in (as_text(column), column.astype("str").str.strip()):
                left -= set(cells[cells.isin(left)])
        known = [word for issue in issues for word in issue.words]
        for word in self.missing:
            if word in left:
                hint = did_you_mean(word, known).strip()
                yield DataIssue(None, f"no cell is {word!r}, named as missing", remedy=hint)


def _parse_kinds(texts: Iterable[str], *, target: str) -> dict[str, ColumnKind]:
    """Return the kinds of columns that are named as COLUMN=KIND."""
    kinds: dict[str, ColumnKind] = {}
    for text in texts:
        name, sign, kind = text.rpartition("=")
        if not sign:
            raise InputError(
                f"--kind {text!r}: expected a column and its kind, such as age=number."
            )
        if name == target:
            raise InputError(f"--kind {text!r}: {name!r} is the target; --task says what it is.")
        kinds[name] = _parse_choice("kind", kind, get_args(ColumnKind))  # type: ignore[assignment]
    return kinds


def _parse_choice(key: str, value: str | None, choices: Sequence[str]) -> str | None:
    if value is not None and value not in choices:
        hint = did_you_mean(value, choices)
        raise InputError(f"--{key}: {value!r} is none of {', '.join(choices)}.{hint}")
    return value


def _parse_dialect(
    *, delimiter: str | None, encoding: str | None, decimal: str | None
) -> dict[str, str]:
    if delimiter is not None:
        delimiter = DELIMITER_WORDS.get(delimiter, delimiter)
        if len(delimiter) != 1:
            raise InputError(f"--delimiter {delimiter!r}: expected one character, or tab.")
    if decimal not in {None, ".", ","}:
        raise InputError(f"--decimal {decimal!r}: expected a point or a comma.")
    given = {"delimiter": delimiter, "encoding": encoding, "decimal": decimal}
    return {key: value for key, value in given.items() if value is not None}
