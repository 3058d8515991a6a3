/* What our pages show alike: numbers, times, states, bars. Text goes into the page as text, never as markup. */
"use strict";

const Shown = {
    element(tag, className, text) {
        const made = document.createElement(tag);
        if (className) { made.className = className; }
        if (text !== undefined) { made.textContent = text; }
        return made;
    },

    count(number) {
        return number.toLocaleString("en");
    },

    duration(seconds) {
        if (seconds === null || seconds === undefined) { return "—"; }
        if (seconds < 0.001) { return (seconds * 1e6).toFixed(0) + " µs"; }
        if (seconds < 1) { return (seconds * 1000).toFixed(0) + " ms"; }
        if (seconds < 10) { return seconds.toFixed(1) + " s"; }
        if (seconds < 60) { return seconds.toFixed(0) + " s"; }
        const minutes = Math.round(seconds / 60);
        if (minutes < 60) { return seconds < 600 ? Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s" : minutes + " min"; }
        if (minutes < 2880) { return Math.floor(minutes / 60) + " h " + minutes % 60 + " min"; }
        return Math.round(minutes / 1440) + " d";
    },

    rate(perSecond) {
        if (!perSecond) { return "—"; }
        if (perSecond >= 100) { return Shown.count(Math.round(perSecond)) + "/s"; }
        return perSecond >= 1 ? perSecond.toFixed(1) + "/s" : (perSecond * 60).toFixed(1) + "/min";
    },

    time(epoch) {
        return epoch ? new Date(epoch * 1000).toLocaleString("sv") : "—";
    },

    ago(seconds) {
        return seconds < 5 ? "now" : Shown.duration(seconds) + " ago";
    },

    /* A batch that has failed items is red, whatever else it is. */
    state(batch) {
        const badge = Shown.element("span", "batch-state batch-state-" + batch.state, batch.state);
        if (batch.failed) { badge.classList.add("batch-state-bad"); }
        return badge;
    },

    bar(batch) {
        const bar = Shown.element("div", "batch-progress"),
            whole = Math.max(batch.total || batch.done, batch.done, 1),
            good = Shown.element("span", "batch-progress-good"),
            bad = Shown.element("span", "batch-progress-bad");
        good.style.width = 100 * (batch.done - Math.min(batch.failed, batch.done)) / whole + "%";
        bad.style.width = 100 * Math.min(batch.failed, batch.done) / whole + "%";
        if (batch.failed) { bad.style.minWidth = "3px"; }
        bar.setAttribute("role", "progressbar");
        bar.setAttribute("aria-label", "Items done");
        bar.setAttribute("aria-valuenow", Math.floor(100 * batch.done / whole));
        bar.append(good, bad);
        return bar;
    },

    share(batch) {
        const total = batch.total === null ? "?" : Shown.count(batch.total);
        return Shown.count(batch.done) + " / " + total;
    },

    /* Where its chunks are: of a long queue only the next were looked at. */
    chunks(batch) {
        const found = batch.chunks;
        if (!found) { return "—"; }
        const more = found.all_seen ? "" : "+";
        return `${Shown.count(found.waiting)}${more} waiting, ${Shown.count(found.in_work)}${more} in work`;
    },

    /* Further attempts of items, and chunks that ran again since their process died. */
    again(batch) {
        const said = [[batch.retried, "retries"], [batch.repeats, "repeats"]]
            .filter(([count]) => count).map(([count, name]) => Shown.count(count) + " " + name);
        return said.join(", ");
    },

    /* Ask again and again; a page that is not looked at asks less. */
    live(ask, seconds) {
        const dot = document.getElementById("live-dot"), status = document.getElementById("live-status");
        let timer = null;
        async function turn() {
            clearTimeout(timer);
            try {
                await ask();
                dot.className = "status-dot status-dot-live";
                status.textContent = "Live";
            } catch (error) {
                dot.className = "status-dot";
                status.textContent = error.message || "No connection";
            }
            timer = setTimeout(turn, (document.hidden ? 15 : seconds) * 1000);
        }
        document.addEventListener("visibilitychange", () => { if (!document.hidden) { turn(); } });
        turn();
        return turn;
    },

    async get(url) {
        const response = await fetch(url, { credentials: "same-origin" });
        if (!response.ok) { throw await Shown.refusal(response); }
        return response.json();
    },

    /* What the API says of it; an answer that is a page, or of somebody between, says so by its status alone. */
    async refusal(response) {
        const plain = (response.headers.get("Content-Type") || "").startsWith("text/plain"),
            said = plain ? await response.text() : "";
        return new Error(said || `${response.status} ${response.statusText}`);
    },

    async post(url) {
        const token = (document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) || [])[1] || "",
            headers = { "X-Requested-With": "XMLHttpRequest", "X-XSRFToken": decodeURIComponent(token) },
            response = await fetch(url, { method: "POST", credentials: "same-origin", headers: headers });
        if (!response.ok) { throw await Shown.refusal(response); }
        return response.text();
    }
};
