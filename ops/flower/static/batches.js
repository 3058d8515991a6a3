/* The list of batches: asks the API every two seconds for the rows that are looked at. */
"use strict";

(function () {
    const page = document.querySelector(".batches-page"), body = document.querySelector("#batches tbody"),
        search = document.getElementById("search"), info = document.getElementById("info"),
        previous = document.getElementById("previous"), next = document.getElementById("next"),
        states = ["", "running", "waiting", "detached", "orphaned", "done", "cancelled", "halted", "failed"],
        wish = { search: "", state: "", sort: "started", order: "desc", start: 0, length: 50 };

    function row(batch, now) {
        const made = Shown.element("tr"), link = Shown.element("a", "batch-link", batch.id);
        link.href = page.dataset.page + encodeURIComponent(batch.id);
        made.dataset.batch = batch.id;
        function cell(className, ...children) {
            const added = Shown.element("td", className);
            added.append(...children);
            made.append(added);
            return added;
        }
        cell("batch-name", link, Shown.element("div", "batch-task", batch.task || "—"), Shown.state(batch));
        cell("state-column", Shown.state(batch));
        cell("progress-column", Shown.bar(batch), Shown.element("div", "batch-share", Shown.share(batch)),
            ...(batch.chunks ? [Shown.element("div", "batch-more", "chunks: " + Shown.chunks(batch))] : []));
        cell("number", Shown.element("span", batch.failed ? "batch-failed" : "", Shown.count(batch.failed)),
            Shown.element("div", "batch-more", Shown.again(batch)));
        cell("number wide", Shown.rate(batch.rate));
        cell("number medium", batch.ended ? "—" : Shown.duration(batch.eta_seconds));
        cell("medium batch-when", Shown.ago(now - batch.started)).title = Shown.time(batch.started);
        cell("wide", batch.client || "—");
        return made;
    }

    function showStates(counts) {
        const bar = document.getElementById("states"),
            all = Object.values(counts).reduce((sum, count) => sum + count, 0);
        bar.replaceChildren(...states.filter(state => !state || counts[state] || state === wish.state).map(state => {
            const name = state || "all",
                button = Shown.element("button", "task-state-filter" + (state === wish.state ? " active" : ""),
                    name + " " + Shown.count(state ? counts[state] || 0 : all));
            button.type = "button";
            button.dataset.state = state;
            button.setAttribute("aria-pressed", state === wish.state);
            return button;
        }));
    }

    function show(found) {
        body.replaceChildren(...found.batches.map(batch => row(batch, found.now)));
        if (!found.batches.length) {
            const empty = Shown.element("td", "empty-table-message",
                found.total ? "No batch matches." : "No batch yet: cluster.batch(f, items), and it shows here.");
            empty.colSpan = 8;
            body.replaceChildren(Shown.element("tr"));
            body.firstChild.append(empty);
        }
        showStates(found.states);
        const last = wish.start + found.batches.length;
        info.textContent = found.matching
            ? `${Shown.count(wish.start + 1)}–${Shown.count(last)} of ${Shown.count(found.matching)}` : "";
        previous.disabled = wish.start === 0;
        next.disabled = last >= found.matching;
        document.querySelectorAll("#batches th[data-sort]").forEach(head => {
            const chosen = head.dataset.sort === wish.sort;
            head.setAttribute("aria-sort", chosen ? (wish.order === "asc" ? "ascending" : "descending") : "none");
        });
        if (wish.start && !found.batches.length && found.matching) { change({ start: 0 }); }
    }

    const ask = Shown.live(async () => {
        const asked = JSON.stringify(wish), found = await Shown.get(page.dataset.api + "?" + new URLSearchParams(wish));
        if (asked === JSON.stringify(wish)) { show(found); }
    }, 2);

    function change(changes) {
        Object.assign(wish, changes);
        ask();
    }

    document.getElementById("states").addEventListener("click", event => {
        const button = event.target.closest("button");
        if (button) { change({ state: button.dataset.state, start: 0 }); }
    });
    document.querySelector("#batches thead").addEventListener("click", event => {
        const head = event.target.closest("th[data-sort]");
        if (!head) { return; }
        const again = head.dataset.sort === wish.sort, descending = again ? wish.order === "asc" : true;
        change({ sort: head.dataset.sort, order: descending ? "desc" : "asc", start: 0 });
    });
    let typing = null;
    search.addEventListener("input", () => {
        clearTimeout(typing);
        typing = setTimeout(() => change({ search: search.value, start: 0 }), 200);
    });
    previous.addEventListener("click", () => change({ start: Math.max(0, wish.start - wish.length) }));
    next.addEventListener("click", () => change({ start: wish.start + wish.length }));
}());
