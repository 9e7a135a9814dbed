/* Watches a run that is going: asks the server how far it is, and shows the whole page anew when
   it has ended. Without this script the page reloads itself instead. */
"use strict";
(() => {
    const EVERY_MS = 2000;
    const MOST_MS = 30000;

    function watch(box) {
        const text = box.querySelector("[data-text]");
        const bar = box.querySelector("progress");
        const silence = box.querySelector("[data-silence]");
        let wait = EVERY_MS;

        function show(state) {
            if (text.textContent !== state.text) {
                text.textContent = state.text;
            }
            if (state.percent === null) {
                bar.removeAttribute("value");
            } else {
                bar.value = state.percent;
            }
            const badge = document.querySelector("[data-run-status] .lw-badge, .field-status_badge .lw-badge");
            if (badge) {
                badge.textContent = state.status;
            }
        }

        async function ask() {
            if (document.hidden) {
                setTimeout(ask, EVERY_MS);
                return;
            }
            try {
                const answer = await fetch(box.dataset.progressUrl, {
                    headers: {Accept: "application/json"},
                    credentials: "same-origin",
                    redirect: "error",
                });
                if (answer.status === 403 || answer.status === 404) {
                    silence.hidden = false;
                    return;
                }
                if (!answer.ok) {
                    throw new Error(answer.status);
                }
                const state = await answer.json();
                silence.hidden = true;
                wait = EVERY_MS;
                show(state);
                if (state.is_over) {
                    location.reload();
                    return;
                }
            } catch {
                silence.hidden = false;
                wait = Math.min(2 * wait, MOST_MS);
            }
            setTimeout(ask, wait);
        }

        setTimeout(ask, EVERY_MS);
    }

    document.querySelectorAll("[data-progress-url]").forEach(watch);
})();
