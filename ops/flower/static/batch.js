/* One batch: its numbers, what it did over time, how long its items took, what failed; and its end, by a button. */
"use strict";

(function () {
    const page = document.querySelector(".batch-page"), api = page.dataset.api, SVG = "http://www.w3.org/2000/svg",
        at = id => document.getElementById(id);

    function svg(tag, attributes) {
        const made = document.createElementNS(SVG, tag);
        Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
        return made;
    }

    function label(x, y, text, anchor) {
        const made = svg("text", { x: x, y: y, "text-anchor": anchor || "start", class: "chart-label" });
        made.textContent = text;
        return made;
    }

    /* Items done by each moment, from (0, 0) to now. */
    function drawProgress(batch) {
        const end = (batch.ended || batch.now) - batch.started, width = 600, height = 200, foot = 24, head = 16,
            top = Math.max(batch.total || 0, batch.done, 1),
            x = seconds => width * Math.min(1, seconds / Math.max(end, 0.001)),
            y = done => height - foot - (height - foot - head) * done / top,
            points = [[0, 0], ...batch.points.filter(point => point[0] < end), [end, batch.done]],
            line = points.map(([seconds, done]) => x(seconds).toFixed(1) + "," + y(done).toFixed(1)).join(" "),
            chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Items done over time" });
        chart.append(
            svg("line", { x1: 0, x2: width, y1: y(top), y2: y(top), class: "chart-goal" }),
            svg("polygon", { points: `0,${y(0)} ${line} ${width},${y(0)}`, class: "chart-area" }),
            svg("polyline", { points: line, class: "chart-line" }),
            label(2, y(top) - 4, Shown.count(top)),
            label(0, height - 6, "start"),
            label(width, height - 6, Shown.duration(end), "end")
        );
        at("progress").replaceChildren(chart);
    }

    function drawSeconds(buckets) {
        if (!buckets.length) {
            at("seconds").replaceChildren(Shown.element("p", "chart-empty", "Nothing is done yet."));
            return;
        }
        const most = Math.max(...buckets.map(bucket => bucket.items)), rows = buckets.map(bucket => {
            const row = Shown.element("div", "bucket"), bar = Shown.element("span", "bucket-bar");
            bar.style.width = Math.max(0.5, 100 * bucket.items / most) + "%";
            row.append(Shown.element("span", "bucket-name", "≤ " + Shown.duration(bucket.up_to)),
                Shown.element("span", "bucket-track"), Shown.element("span", "bucket-count", Shown.count(bucket.items)));
            row.children[1].append(bar);
            return row;
        });
        at("seconds").replaceChildren(...rows);
    }

    function showErrors(errors) {
        const open = new Set([...document.querySelectorAll("#errors details[open]")].map(each => each.dataset.name));
        at("errors").replaceChildren(...errors.map(error => {
            const details = Shown.element("details"), head = Shown.element("summary");
            details.dataset.name = error.name;
            details.open = open.has(error.name);
            head.append(Shown.element("strong", "", error.name), " × " + Shown.count(error.items));
            details.append(head, Shown.element("pre", "", error.traceback || "Without a traceback."));
            return details;
        }));
        if (!errors.length) { at("errors").append(Shown.element("p", "chart-empty", "None.")); }
    }

    function showSlots(slots, now) {
        at("slots").replaceChildren(...slots.map(slot => {
            const row = Shown.element("p", "slot");
            row.append(Shown.element("strong", "", slot.worker + "/" + slot.process),
                ` ${slot.items}${slot.item === null ? "" : ": item " + Shown.count(slot.item)}, for ` +
                Shown.duration(Math.max(0, now - slot.since)));
            return row;
        }));
        if (!slots.length) { at("slots").append(Shown.element("p", "chart-empty", "None, two seconds ago.")); }
    }

    function showFacts(batch) {
        const facts = [
            ["Fleet", batch.fleet], ["Client", batch.client], ["Started", Shown.time(batch.started)],
            ["Ended", batch.ended && Shown.time(batch.ended)], ["Last outcome", batch.last && Shown.time(batch.last)],
            ["Named", batch.named ? "yes: any process can attach to it" : "no: its client alone gathers it"],
            ["First call", batch.call], ["Chunks", batch.chunks && Shown.chunks(batch)],
            ["Further attempts", Shown.count(batch.retried)],
            ["Chunks run again", Shown.count(batch.repeats) + " (after a death or a lost lease)"]
        ];
        at("facts").replaceChildren(...facts.filter(fact => fact[1]).map(([name, value]) => {
            const row = Shown.element("tr", name === "First call" ? "batch-call" : "");
            row.append(Shown.element("td", "", name), Shown.element("td", "", value));
            return row;
        }));
    }

    function show(batch) {
        at("state").replaceChildren(Shown.state(batch));
        at("task").textContent = batch.task;
        at("done").textContent = Shown.share(batch);
        at("failed").textContent = Shown.count(batch.failed);
        at("rate").textContent = Shown.rate(batch.rate);
        at("eta-label").textContent = batch.ended ? "Took" : "Time left";
        at("eta").textContent = Shown.duration(batch.ended ? batch.ended - batch.started : batch.eta_seconds);
        at("bar").replaceChildren(Shown.bar(batch));
        drawProgress(batch);
        drawSeconds(batch.seconds);
        showErrors(batch.errors);
        showSlots(batch.slots, batch.now);
        showFacts(batch);
        if (at("rerun")) { at("rerun").disabled = !(batch.named && batch.failed); }
        if (at("cancel")) {
            at("cancel").disabled = Boolean(batch.ended);
            at("terminate").disabled = Boolean(batch.ended) && !batch.slots.length;  // what was cancelled may still run
        }
    }

    /* A worker is asked, and only when there is something: each item in there failed with this name. */
    let askedFor = 0;
    async function showQuarantined(batch) {
        const crashed = batch.errors.filter(error => ["WorkerCrashed", "others"].includes(error.name))
            .reduce((sum, error) => sum + error.items, 0);
        if (crashed === askedFor) { return; }
        askedFor = crashed;
        let lines;
        try {
            lines = (await Shown.get(page.dataset.quarantine)).entries.map(quarantined);
        } catch (error) {
            askedFor = null;  // ask again
            lines = [Shown.element("p", "chart-empty", error.message)];
        }
        at("quarantined").replaceChildren(...lines);
        document.querySelector(".batch-quarantine").hidden = !lines.length;
    }

    function quarantined(entry) {
        const line = Shown.element("p", "slot"), link = Shown.element("a", "", "item " + Shown.count(entry.index));
        link.href = page.dataset.putAside;
        line.append(link, ": " + entry.cause + ", " + Shown.count(entry.executions) + " times");
        return line;
    }

    /* Items write what they like: what is no plain text, or turns it around, is shown by its number. */
    function plain(text) {
        return text.replace(/\n$/, "").replace(
            /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
            sign => "\\u" + sign.charCodeAt(0).toString(16).padStart(4, "0"));
    }

    let lastEntry = "";
    async function showLog() {
        const found = await Shown.get(api + "/log?after=" + lastEntry), log = at("log"),
            follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        if (!found.lines.length) { return; }
        lastEntry = found.last;
        document.querySelector(".batch-log").hidden = false;
        log.append(...found.lines.map(line => {
            const row = Shown.element("p", `log-line log-${line.stream} log-level-${line.level.toLowerCase()}`),
                item = line.index === null ? "" : line.index + (line.attempt > 1 ? "." + line.attempt : "");
            row.append(Shown.element("span", "log-time", line.time ? Shown.time(line.time).slice(11) : ""),
                Shown.element("span", "log-item", item),
                Shown.element("span", "log-text", (line.level ? line.level + " " + line.logger + ": " : "") + plain(line.text)));
            row.title = [line.time ? Shown.time(line.time) : "", line.worker, line.stream].join(" ");
            return row;
        }));
        while (log.children.length > 1000) { log.firstChild.remove(); }
        if (follows) { log.scrollTop = log.scrollHeight; }
    }

    const ask = Shown.live(async () => {
        const batch = await Shown.get(api);
        show(batch);
        await showLog();
        showQuarantined(batch);  // meanwhile: it may take seconds
    }, 1);

    async function cancel(query, question) {
        if (!window.confirm(question)) { return; }
        try {
            await Shown.post(api + "/cancel" + query);
        } catch (error) {
            window.alert(error.message);
        }
        ask();
    }

    const request = Math.random().toString(36).slice(2);  // asked again, a worker sends nothing twice
    async function rerun(button) {
        button.disabled = true;
        try {
            const said = JSON.parse(await Shown.post(api + "/rerun?request=" + request));
            if (said.items === null) { window.alert(`They are being sent, as the batch ${said.batch}.`); return; }
            window.location = button.ownerDocument.location.pathname.replace(/[^/]*$/, encodeURIComponent(said.batch));
        } catch (error) {
            window.alert(error.message);
            ask();
        }
    }

    if (at("rerun")) { at("rerun").addEventListener("click", event => rerun(event.target)); }
    if (at("cancel")) {
        const name = document.getElementById("batch-id").textContent;
        at("cancel").addEventListener("click", () => cancel("", `Cancel ${name}? Items that run are let finish.`));
        at("terminate").addEventListener("click", () => cancel("?terminate=1",
            `Terminate ${name}? The processes that run its items are killed.`));
    }
}());
