"""The command line's `netshare privacy plan|statement|audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netshare.commands.options import Commands, config_options, read_config, verbosity_options

if TYPE_CHECKING:
    from netshare.privacy.audit import AuditResult


def add(commands: Commands) -> None:
    """Add the command with its sub-commands."""
    text = "plan, state and audit differential privacy"
    parser = commands.add_parser("privacy", help=text, description=text[0].upper() + text[1:] + ".",
                                 parents=[verbosity_options()])  # fmt: skip
    shared, on_config = verbosity_options(), config_options()
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "say what a config's budget means, before anything is trained and without reading private data"
    plan = commands.add_parser("plan", help=text, description=text[0].upper() + text[1:] + ".",
                               parents=[shared, on_config])  # fmt: skip
    plan.add_argument("--json", action="store_true", help="as JSON")
    plan.set_defaults(command=_plan)
    text = "print the guarantee of a finished private run, in plain words and in symbols"
    statement = commands.add_parser("statement", help=text, description=text[0].upper() + text[1:] + ".",
                                    parents=[shared])  # fmt: skip
    statement.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    statement.add_argument("--json", action="store_true", help="the ledger itself, as JSON")
    statement.set_defaults(command=_statement)
    text = "attack private training, or the models of a run, and bound epsilon from below"
    audit = commands.add_parser("audit", help=text, description=text[0].upper() + text[1:] + ".",
                                parents=[shared])  # fmt: skip
    audit.add_argument("run_dir", type=Path, nargs="?", metavar="RUN_DIR", help="a finished run: membership inference; "
                       "without it: canaries in the worst case for private training")  # fmt: skip
    audit.add_argument("--method", choices=["marginals", "gradients"], default="marginals",
                       help="what canaries attack: noisy counts, or training by gradients; default: marginals")  # fmt: skip
    audit.add_argument("--epsilon", type=float, default=1.0, help="claimed, for canaries; default: 1")
    audit.add_argument("--delta", type=float, default=1e-5, help="claimed, for canaries; default: 1e-5")
    audit.add_argument("--trials", type=int, help="of the canaries' attack; default: 4,000 countings or 600 trainings")
    audit.add_argument("--confidence", type=float, default=0.95, help="of the lower bound; default: 0.95")
    audit.add_argument("--noise-factor", type=float, default=1.0, metavar="F",
                       help="add F times the noise that is due; below 1 the audit should refute the claim")  # fmt: skip
    audit.set_defaults(command=_audit)


def _plan(options: Any) -> None:
    from netshare.privacy.accounting import alternatives, make_plan
    from netshare.privacy.public import check_other_files, public_files

    config = read_config(options)
    plan = make_plan(config)
    check_other_files(
        public_files(config.privacy.public, config.trace_kind), [Path(name) for name in config.input.files]
    )
    print(json.dumps(plan.to_json(), indent=2) if options.json else plan.text(alternatives(config, plan)))


def _statement(options: Any) -> None:
    from netshare.privacy.accounting import read_ledger, statement

    ledger = read_ledger(options.run_dir)
    print(json.dumps(ledger.to_json(), indent=2) if options.json else statement(ledger, options.run_dir.name))


def audit_run(run_folder: Path, *, confidence: float = 0.95) -> AuditResult:
    """Attack the models of a finished run by membership inference.

    Raises:
        InputError: no trained models, nothing held back, or models of another kind.
    """
    from netshare.preprocess.errors import InputError
    from netshare.privacy.accounting import read_ledger
    from netshare.privacy.audit import AttackedModels, audit_membership
    from netshare.privacy.audit.membership import LogLikelihood
    from netshare.recipe.preparation import flow_key
    from netshare.runs.pipeline import finished_run

    with finished_run(run_folder) as steps:
        config, real, prepared = steps.recipe.config, steps.real(), steps.prepared()
        if real.holdout is None:
            raise InputError(f"{run_folder}: nothing was held back (evaluate.holdout), so membership cannot be tested")
        if config.generator.kind != "autoregressive":
            raise InputError(f"{run_folder}: only models of kind autoregressive give likelihoods to attack")
        claimed = read_ledger(run_folder).plan.epsilon_spent if config.privacy.enabled else None
        models = steps.models(prepared)

        def likelihood_of(chunk: int) -> LogLikelihood | None:
            if chunk not in prepared.contents.chunks:
                return None
            return models(chunk).metadata_log_likelihood  # type: ignore[attr-defined]

        contents = prepared.contents
        attacked = AttackedModels(contents.time, flow_key(config, real.train.kind), prepared.codec, likelihood_of)
        chance = 1 - config.evaluate.holdout
        return audit_membership(
            real.train, real.holdout, attacked, chance=chance, claimed=claimed, confidence=confidence
        )


def _audit(options: Any) -> None:
    from netshare.preprocess.errors import TrainingError
    from netshare.privacy.audit import audit_counts, audit_gradients

    if options.run_dir is not None:
        result = audit_run(options.run_dir, confidence=options.confidence)
    else:
        attack = audit_counts if options.method == "marginals" else audit_gradients
        given = {name: getattr(options, name) for name in ("epsilon", "delta", "confidence", "noise_factor")}
        result = attack(**given, **({} if options.trials is None else {"trials": options.trials}))
    if result.broken:
        raise TrainingError(f"the privacy claim does not hold; {result.text()}")
    print(result.text())
