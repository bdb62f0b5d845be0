/* Long polling: the server answers this tab's request when there is something new (changes.py), and the tab then refreshes
   itself; while a person's job runs at least once a second, while nobody looks at it not at all. */
(function () {
  "use strict";
  const PACE_MS = 400, RETRY_MS = [500, 1000, 2000, 4000];
  const address = new URL("workbench/changes", document.baseURI).href;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const visible = () => new Promise((done) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

  /* The tabs of a browser share few connections to one server: they take turns in asking, and share the answers. */
  const others = new BroadcastChannel(address);
  const inTurn = (work) => (navigator.locks ? navigator.locks.request(address, work) : work()); // absent on plain http

  /* `props.value` is what the tab was last sent, with the version that it shows; `trigger("input")` asks for a refresh. */
  function follow(props, trigger) {
    let newest = 0; // version of the published state
    const shown = () => (props.value ? JSON.parse(props.value).version : 0);
    const hear = (answer) => {
      newest = answer.version;
      if (!document.hidden && (answer.busy || newest !== shown())) trigger("input");
    };
    others.addEventListener("message", (event) => hear(event.data));
    const ask = async () => {
      const reply = await fetch(`${address}?after=${newest}`);
      if (!reply.ok) throw new Error(`${address} answered ${reply.status}`);
      const answer = await reply.json();
      others.postMessage(answer);
      hear(answer);
      await wait(PACE_MS);
    };
    (async () => {
      for (let failures = 0; ;) {
        if (document.hidden) await visible().then(() => { newest = 0; });
        try {
          await (newest ? inTurn(ask) : ask()); // a tab that knows no version is answered at once
          failures = 0;
        } catch { // the server is away or asks for a login: what is shown stays
          await wait(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
        }
      }
    })();
  }
  window.SDPOPage.follow = follow;
})();
