/* A worker's page: what each of its slots runs, since when; its leases and its memory. */
"use strict";

(function () {
    const panel = document.getElementById("slots");

    function fact(name, value) {
        const made = Shown.element("span", "slots-fact", name + " ");
        made.append(Shown.element("strong", "", value));
        return made;
    }

    function row(slot, now) {
        const made = Shown.element("tr"), link = Shown.element("a", "", slot.batch || "—"), what = Shown.element("td");
        if (slot.batch) { link.href = panel.dataset.page + encodeURIComponent(slot.batch); }
        if (slot.failed) { what.append(Shown.element("span", "batch-state batch-state-bad", Shown.count(slot.failed) + " failed"), " "); }
        what.append(slot.batch ? link : "—");
        made.append(
            Shown.element("td", "", slot.process), Shown.element("td", "", slot.task), what,
            Shown.element("td", "", slot.items || "—"),
            Shown.element("td", "", slot.item === null ? "—" : Shown.count(slot.item)),
            Shown.element("td", "", Shown.duration(Math.max(0, now - slot.since)))
        );
        return made;
    }

    function show(found) {
        const worker = found.workers.find(each => each.worker === panel.dataset.worker);
        if (!worker) {
            panel.replaceChildren(Shown.element("p", "chart-empty", "This worker says nothing of its slots."));
            return;
        }
        const facts = Shown.element("p", "slots-facts"), table = Shown.element("table", "table mb-0"),
            head = Shown.element("thead"), body = Shown.element("tbody"), names = Shown.element("tr");
        facts.append(
            fact("Slots busy", `${worker.busy.length} of ${worker.slots}`), fact("Leases", worker.leases),
            fact("Memory", Math.round(worker.memory / 1048576) + " MiB"), fact("Fleet", worker.queues.join(", "))
        );
        names.append(...["Process", "Task", "Batch", "Chunk", "Item", "For"].map(name => Shown.element("th", "", name)));
        head.append(names);
        body.append(...worker.busy.map(slot => row(slot, found.now)));
        table.append(head, body);
        const scroll = Shown.element("div", "table-responsive");
        scroll.append(table);
        panel.replaceChildren(Shown.element("h2", "worker-panel-title", "Slots"), facts, scroll);
    }

    async function turn() {
        try {
            show(await Shown.get(panel.dataset.api));
        } finally {
            setTimeout(turn, document.hidden ? 15000 : 2000);
        }
    }

    turn();
}());
