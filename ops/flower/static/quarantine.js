/* The quarantine: what is there, all that is known of one entry, its retry, its purge. */
"use strict";

(function () {
    const page = document.querySelector(".quarantine-page"), body = document.querySelector("#entries tbody"),
        info = document.getElementById("info"), readOnly = page.dataset.readOnly === "1", opened = new Map();

    function button(name, className, action) {
        const made = Shown.element("button", "btn btn-sm " + className, name);
        made.type = "button";
        made.addEventListener("click", action);
        return made;
    }

    async function change(entry, what, question) {
        if (!window.confirm(question)) { return; }
        try {
            const said = JSON.parse(await Shown.post(`${page.dataset.api}/${encodeURIComponent(entry.id)}/${what}`));
            if (said.batches) { window.location = page.dataset.page + encodeURIComponent(said.batches[0]); }
        } catch (error) {
            window.alert(error.message);
        }
        ask();
    }

    async function toggle(entry) {
        if (opened.has(entry.id)) {
            opened.delete(entry.id);
        } else {
            try {
                opened.set(entry.id, await Shown.get(page.dataset.api + "/" + encodeURIComponent(entry.id)));
            } catch (error) {
                window.alert(error.message);
            }
        }
        ask();
    }

    function row(entry) {
        const made = Shown.element("tr"), what = Shown.element("td", "quarantine-reason", entry.reason),
            actions = Shown.element("td", "quarantine-actions");
        made.dataset.entry = entry.id;
        if (entry.batch) {
            const link = Shown.element("a", "", entry.batch), line = Shown.element("div", "batch-task", "batch ");
            link.href = page.dataset.page + encodeURIComponent(entry.batch);
            line.append(link);
            what.append(line);
        }
        actions.append(button(opened.has(entry.id) ? "Hide" : "Show", "btn-outline-secondary", () => toggle(entry)));
        if (!readOnly && entry.retryable) {
            actions.append(button("Retry", "btn-outline-primary",
                () => change(entry, "retry", "Run this item again, as a new batch?")));
        }
        if (!readOnly) {
            actions.append(button("Purge", "btn-outline-danger",
                () => change(entry, "purge", "Remove this entry for good?")));
        }
        made.append(Shown.element("td", "", Shown.ago(Date.now() / 1000 - entry.when)),
            Shown.element("td", "", entry.kind), Shown.element("td", "medium", entry.queue), what, actions);
        return made;
    }

    function details(entry) {
        const made = Shown.element("tr"), cell = Shown.element("td"), facts = Shown.element("dl", "quarantine-facts");
        ["id", "function", "index", "cause", "executions", "arguments", "trace", "obstacle", "size", "claimed_id", "sample"]
            .filter(name => entry[name] !== undefined && entry[name] !== null && entry[name] !== "")
            .forEach(name => facts.append(Shown.element("dt", "", name.replace("_", " ")),
                Shown.element("dd", "", entry[name])));
        cell.colSpan = 5;
        cell.append(facts);
        made.append(cell);
        return made;
    }

    const ask = Shown.live(async () => {
        const found = await Shown.get(page.dataset.api);
        body.replaceChildren(...found.entries.flatMap(
            entry => opened.has(entry.id) ? [row(entry), details(opened.get(entry.id))] : [row(entry)]));
        if (!found.entries.length) {
            const empty = Shown.element("td", "empty-table-message", "Nothing was put aside.");
            empty.colSpan = 5;
            body.replaceChildren(Shown.element("tr"));
            body.firstChild.append(empty);
        }
        info.textContent = found.total > found.entries.length
            ? `The newest ${found.entries.length} of ${Shown.count(found.total)}.` : "";
    }, 5);
}());
