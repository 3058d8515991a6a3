/* The Broker page: what waits in each queue, for how long, what is in work, and who takes it. */
"use strict";

(function () {
    const page = document.querySelector(".broker-page"), body = document.querySelector("#queue-table tbody");

    function row(queue) {
        const made = Shown.element("tr"), alone = queue.waiting && !queue.consumers;
        made.id = queue.name;
        made.append(
            Shown.element("td", "", queue.name),
            Shown.element("td", "", Shown.count(queue.waiting)),
            Shown.element("td", "", Shown.duration(queue.oldest_seconds)),
            Shown.element("td", "broker-secondary-column", Shown.count(queue.in_work)),
            Shown.element("td", alone ? "batch-failed" : "", alone ? "none: it waits" : Shown.count(queue.consumers)),
            Shown.element("td", "broker-secondary-column", `${Shown.count(queue.busy)} of ${Shown.count(queue.slots)}`)
        );
        return made;
    }

    Shown.live(async () => body.replaceChildren(...(await Shown.get(page.dataset.api)).queues.map(row)), 2);
}());
