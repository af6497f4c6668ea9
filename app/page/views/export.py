"""The view *Export*: the plan's files, the command that makes them, and masks of real weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from app.export import NO_TRAINING, Masks
from app.page import state
from app.page.address import LONGEST_HARDWARE, write_link
from app.page.answer import Answer
from app.page.charts.masks import PRUNED, WORDS, blocks, mask_picture
from app.page.command import CLUSTER_FILE, PROFILE_FILE, needs_cluster_file, other_commands
from app.page.command import plan_command as planned_by
from app.page.progress import finished
from app.page.saved import SAVED_FILE, open_page, save_page
from app.page.show import CSV, chart, tell_error
from app.page.store import File, Same, store
from app.page.training import export_zip, masks_of
from app.report import report_html, report_png
from app.serve import MAX_UPLOAD_MB
from app.tables import Table
from app.words import running_words
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.weights.masks import LayerMask
from profiles.files import MAX_DOCUMENT_BYTES
from profiles.weights import WEIGHT_FILES

_JSON = "application/json"
_PROBLEM = "page_problem"


def show(answer: Answer) -> None:
    """Draw the view."""
    _running(answer)
    _masks(answer)
    _report(answer)
    _commands(answer)
    page_file(answer.profile, catalogue_source(answer) is None)


def _running(answer: Answer) -> None:
    """The plan, its layers, the profile and the cluster."""
    st.subheader("For running", anchor=False)
    with st.container(horizontal=True, gap="small", key="downloads"):
        for name, text in answer.files().items():
            kind = CSV if name.endswith(".csv") else _JSON
            st.download_button(name, text, name, kind, key=f"get_{name}", on_click="ignore")
    running = running_words(is_own=st.session_state.source != "catalogue")
    st.caption(
        f"plan.json: the plan with its proof, {running}. "
        "layers.csv: what each layer exchanges. profile.json: the model's layers. cluster.json: "
        "the nodes and links as they are tuned."
    )


def _report(answer: Answer) -> None:
    """The answer for somebody else."""
    st.subheader("As a report", anchor=False)
    with st.container(horizontal=True, gap="small"):
        for name, kind, make in (
            ("report.html", "text/html", report_html),
            ("report.png", "image/png", report_png),
        ):
            st.download_button(
                name,
                partial(make, answer.case, answer.told_plan),
                name,
                kind,
                key=f"get_{name}",
                on_click="ignore",
            )
    st.caption("One file that needs nothing else, and the answer as a picture.")


def _commands(answer: Answer) -> None:
    """What to type for the same."""
    source = catalogue_source(answer)
    command_lines(
        planned_by(answer, source),
        {PROFILE_FILE: source is None, CLUSTER_FILE: needs_cluster_file(answer.question)},
        "the plan",
        ("The other views", other_commands(answer, source)),
    )
    if len(write_link(state.values()).get("hardware", "")) > LONGEST_HARDWARE:
        st.warning("The cluster is too large for a link: save it as a file (view Devices).")


def command_lines(
    line: str, needed: Mapping[str, bool], what: str, others: tuple[str, Mapping[str, str]]
) -> None:
    """Show the command that makes what the page shows, and those of what stands beside it.

    Parameters
    ----------
    line : str
    needed : mapping of str to bool
        Files above, and whether it reads them.
    what : str
        It makes.
    others : (str, mapping of str to str)
        What stands beside it, with lines by title.
    """
    st.subheader("The same on the command line", anchor=False)
    st.code(line, language=None, wrap_lines=True)
    files = [name for name, is_needed in needed.items() if is_needed]
    words = f" It reads {' and '.join(files)} from above." if files else ""
    st.caption(f"This makes {what} that the page shows.{words}")
    name, lines = others
    with st.expander(name, key="commands_open"):
        for title, other in lines.items():
            st.markdown(f"*{title}*")
            st.code(other, language=None, wrap_lines=True)


def catalogue_source(answer: Answer) -> str | None:
    """The catalogue model that an answer is about; none where a file had a part in it."""
    chosen = st.session_state
    changed = chosen.shapes or chosen.batch or chosen.weight_bits
    is_plain = chosen.source == "catalogue" and not changed
    if not is_plain or store().files.times is not None:
        return None
    return answer.profile.name


def page_file(model: ModelProfile | LanguageModel, is_own: bool) -> None:
    """The whole page as a file, for what no link carries."""
    st.subheader("This page", anchor=False)
    st.caption(
        "The address brings back every control; a saved page also brings back your own model's "
        "shapes, measured times and sensitivities. Weights are never saved."
    )
    left, right = st.columns(2, vertical_alignment="bottom")
    left.download_button(
        "Save this page",
        partial(save_page, state.values(), model, is_own, store().files),
        SAVED_FILE,
        _JSON,
        key="save_page",
        on_click="ignore",
        icon=":material/save:",
    )
    right.file_uploader(
        "Open a saved page",
        type="json",
        key="page_upload",
        max_upload_size=MAX_DOCUMENT_BYTES // 10**6,
        on_change=_open,
    )
    if problem := store().read.get(_PROBLEM):
        tell_error(problem[1])


def _open() -> None:
    file = st.session_state["page_upload"]
    store().read.pop(_PROBLEM, None)
    if file is None:
        return
    try:
        state.restore(open_page(file.name, file.getvalue()))
    except BadInputError as error:
        store().read[_PROBLEM] = (None, str(error))


def _masks(answer: Answer) -> None:
    """Weights, what the plan keeps of them, and the folder that training starts from."""
    st.subheader("For training", anchor=False)
    if not answer.plan.drops_features:
        st.info(f"{NO_TRAINING[:1].upper()}{NO_TRAINING[1:]}.")
        _zip_button(answer, None)
        return
    kept = store()
    file = st.file_uploader(
        "Weights of this model",
        type=[suffix.removeprefix(".") for suffix in WEIGHT_FILES],
        key="weights_upload",
        max_upload_size=MAX_UPLOAD_MB,
        help="With them the export also holds the masks: which weights the plan keeps.",
    )
    if file is None:
        _zip_button(answer, None)
        st.caption("Without weights: the plan and its layers. With them also the masks.")
        return
    known = kept.once(
        "weights", file.file_id, lambda: File(file.name, file.getvalue(), file.file_id)
    )
    finished(
        "masks",
        Same(answer, known),
        partial(masks_of, answer, known),
        "Ranking the sub-rows",
        lambda masks: _drawn(answer, masks),
    )


def _zip_button(answer: Answer, masks: Masks | None) -> None:
    st.download_button(
        "export.zip",
        lambda: export_zip(answer, masks),
        "export.zip",
        "application/zip",
        key="get_export.zip",
        on_click="ignore",
        icon=":material/folder_zip:",
    )


@st.fragment
def _drawn(answer: Answer, masks: Masks) -> None:
    """The picture of a layer's mask, and the download."""
    _zip_button(answer, masks)
    layers = answer.profile.layers
    pruned = {layers[layer.row].name: layer for layer in masks.layers if layer.prunes}
    if not pruned:
        st.info("This plan prunes nothing, so that there are no masks.")
        return
    st.caption(f"Layers that are pruned: {len(pruned)}.")
    name = st.selectbox("Layer", tuple(pruned), key="mask_layer")
    mask = pruned[name]
    states, _ = blocks(mask)
    share = float((states == PRUNED).mean())
    chart(
        mask_picture(mask),
        _block_table(mask),
        "Rows are input features, by the node that holds them; columns the outputs, by the node "
        "that computes them. Diagonal blocks stay whole; elsewhere a sub-row stays or goes, those "
        f"of largest L1 norm stay. {share:.1%} of the sub-rows go. Measured on the uploaded "
        "weights.",
        key="chart_mask",
        alt=f"Mask of a layer in {len(mask.nodes)} by {len(mask.nodes)} blocks",
    )


def _block_table(layer: LayerMask) -> Table:
    """The state of every input feature at every node."""
    states, order = blocks(layer)
    return Table(
        "mask",
        ("input feature", *layer.nodes),
        tuple(
            (int(feature), *(WORDS[state] for state in row.tolist()))
            for feature, row in zip(order, states, strict=True)
        ),
    )
