// The page's style and script: everything that is neither content nor structure.
extension BoardPage {
    /// The style sheet. Colours have a contrast of at least 4.5:1 as text on their backgrounds (WCAG 2.2 AA), in either
    /// scheme; a test computes it.
    static let style: HTML = .literal(
        """
        :root{
        --page:#ffffff;--text:#1b1f24;--quiet:#57606a;--line:#c8d1da;--panel:#f6f8fa;--link:#0550ae;--bar:#0969da;
        --ready:#0f5323;--ready-back:#d7f5de;--blocked:#8f0a1f;--blocked-back:#ffe1de;
        --waived:#6b4300;--waived-back:#fff1c2;--idle:#4b535d;--idle-back:#e7ebef}
        @media(prefers-color-scheme:dark){:root{
        --page:#0d1117;--text:#e6edf3;--quiet:#9aa4af;--line:#363d47;--panel:#161b22;--link:#79c0ff;--bar:#58a6ff;
        --ready:#7ee787;--ready-back:#10301c;--blocked:#ffa8a1;--blocked-back:#4a1519;
        --waived:#f2cc60;--waived-back:#3a2c06;--idle:#b1bac4;--idle-back:#252b33}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--page);color:var(--text);font:1rem/1.45 system-ui,sans-serif}
        header,main,footer{max-width:84rem;margin:0 auto;padding:0 1rem}
        header{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 2rem;border-bottom:1px solid var(--line)}
        footer{display:flex;flex-wrap:wrap;gap:0 2rem;color:var(--quiet);font-size:.875rem;margin-top:2rem;\
        border-top:1px solid var(--line)}
        .brand{font-weight:700;margin:.75rem 0}
        nav ul{display:flex;flex-wrap:wrap;gap:.25rem .5rem;list-style:none;margin:.5rem 0;padding:0}
        nav a{display:inline-block;padding:.375rem .625rem;border-radius:.375rem;text-decoration:none}
        nav a[aria-current]{background:var(--idle-back);color:var(--text);font-weight:600}
        nav a:hover{text-decoration:underline}
        a{color:var(--link)}
        :focus-visible{outline:3px solid var(--bar);outline-offset:2px}
        main:focus{outline:none}
        .skip{position:absolute;left:-100vw}
        .skip:focus{left:.5rem;top:.5rem;background:var(--page);padding:.5rem}
        h1{font-size:1.5rem;line-height:1.2;margin:1.25rem 0 .25rem;overflow-wrap:anywhere}
        h2{font-size:1.125rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
        footer p:empty{display:none}
        #summary{margin:.25rem 0 1rem;color:var(--quiet)}
        #notice,.failure{background:var(--blocked-back);color:var(--blocked);border:2px solid;border-radius:.375rem;\
        padding:.75rem 1rem;overflow-wrap:anywhere}
        .stale #live{opacity:.6}
        table{width:100%;border-collapse:collapse;margin:0 0 1rem;font-size:.9375rem}
        caption{text-align:left;color:var(--quiet);font-size:.875rem;padding:.25rem 0}
        th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);\
        overflow-wrap:break-word}
        td code,.lists td,.sites td,.lists th,.sites th{overflow-wrap:anywhere}
        thead th{font-size:.8125rem;color:var(--quiet);font-weight:600;white-space:nowrap;padding-bottom:.25rem}
        tbody th{font-weight:600;min-width:6rem}
        @media(min-width:48.01rem){
        .lists,.sites{table-layout:fixed}
        .lists th:nth-child(1){width:18%}.lists th:nth-child(2){width:9%}.lists th:nth-child(3){width:13%}
        .lists th:nth-child(4),.lists th:nth-child(5){width:18%}
        .sites th:nth-child(1){width:12%}.sites th:nth-child(2){width:9%}.sites th:nth-child(4){width:25%}
        .sites th:nth-child(5){width:11%}}
        .small{display:block;font-size:.8125rem;color:var(--quiet)}
        .none{color:var(--quiet)}
        .reason{margin:0 0 .25rem}
        .badge{display:inline-block;white-space:nowrap;border-radius:1rem;padding:.0625rem .625rem;font-size:.875rem;\
        font-weight:600}
        .ready{color:var(--ready);background:var(--ready-back)}
        .blocked{color:var(--blocked);background:var(--blocked-back)}
        .waived{color:var(--waived);background:var(--waived-back)}
        .idle{color:var(--idle);background:var(--idle-back)}
        progress{display:block;width:100%;max-width:10rem;height:.5rem;margin:.375rem 0 .25rem;border:0;\
        border-radius:.25rem;overflow:hidden;background:var(--idle-back);accent-color:var(--bar);appearance:none}
        progress::-webkit-progress-bar{background:var(--idle-back)}
        progress::-webkit-progress-value{background:var(--bar)}
        progress::-moz-progress-bar{background:var(--bar)}
        .words{font-size:.875rem}
        code{font-family:ui-monospace,monospace;font-size:.875em}
        dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(14rem,1fr));gap:.5rem 1rem;margin:.75rem 0;\
        padding:.75rem 1rem;background:var(--panel);border:1px solid var(--line);border-radius:.375rem}
        dt{font-size:.8125rem;color:var(--quiet)}
        dd{margin:0;overflow-wrap:anywhere}
        form{display:flex;flex-wrap:wrap;align-items:end;gap:.75rem;margin:1rem 0}
        label span{display:block;font-size:.8125rem;color:var(--quiet)}
        input,button{font:inherit;color:inherit;background:var(--page);border:1px solid var(--quiet);\
        border-radius:.375rem;padding:.375rem .625rem;min-height:2.5rem}
        input{width:11rem;max-width:100%}
        button{background:var(--panel);font-weight:600;cursor:pointer}
        summary{cursor:pointer;padding:.25rem 0;color:var(--link)}
        @media(max-width:48rem){
        thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
        table,tbody,tr,th,td,caption{display:block}
        tbody tr{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .75rem;margin:0 0 .75rem;\
        background:var(--panel)}
        tbody th,td{border:0;padding:.1875rem 0}
        tbody th{font-size:1.0625rem}
        td{display:grid;grid-template-columns:6.5rem 1fr;column-gap:.5rem}
        td::before{content:attr(data-label);color:var(--quiet);font-size:.8125rem;grid-row:1/span 9}
        td>*{grid-column:2;justify-self:start}
        td progress{width:10rem}
        input{width:100%}label{flex:1 1 9rem}}
        @media print{
        :root{--page:#fff;--text:#000;--quiet:#333;--line:#999;--panel:#fff;--link:#000}
        header nav,.filter,form,.skip,#notice{display:none}
        body{font-size:9pt}table{font-size:8.5pt}tr,dl{break-inside:avoid}thead{display:table-header-group}
        .badge{border:1px solid;background:none;color:#000}a{text-decoration:none}}
        """)

    /// Asks for the page again, and puts what has changed in its place: without losing the focus, what is unfolded, what is
    /// selected, or the place in the page. What cannot be updated is never shown as if it were current.
    ///
    /// It waits at least four times as long as the answer took, so that pages left open do not keep a slow store busy.
    static let script: HTML = .literal(
        """
        (() => {
        'use strict';
        const every = 5000, patience = 45000;
        const part = (page, id) => page.getElementById(id);
        const notice = part(document, 'notice');
        let timer = 0, busy = false, updated = Date.now();
        const put = (id, page) => {
          const [shown, fresh] = [part(document, id), part(page, id)];
          if (shown && fresh && shown.innerHTML !== fresh.innerHTML)
            shown.replaceChildren(...document.importNode(fresh, true).childNodes);
        };
        const isSelected = node => {
          const selection = getSelection();
          return !selection.isCollapsed && node.contains(selection.anchorNode);
        };
        const look = async () => {
          clearTimeout(timer);
          if (busy || document.hidden) return;
          busy = true;
          const begun = Date.now();
          try {
            const answer = await fetch(location.href, {cache: 'no-store', signal: AbortSignal.timeout(patience)});
            const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
            if (!answer.ok || !part(page, 'live'))
              throw new Error(part(page, 'cause')?.textContent || 'the server answered ' + answer.status);
            document.title = page.title;
            put('title', page);
            put('summary', page);
            put('as-of', page);
            const live = part(document, 'live');
            if (!isSelected(live)) {
              const open = [...live.querySelectorAll('details[open]')].map(node => node.id);
              const at = live.contains(document.activeElement) ? document.activeElement : null;
              put('live', page);
              for (const id of open) part(document, id)?.setAttribute('open', '');
              if (at && !at.isConnected) {
                const link = at.getAttribute('href');
                const details = at.closest('details')?.id;
                const again = link
                  ? [...live.querySelectorAll('a')].find(node => node.getAttribute('href') === link)
                  : details && part(document, details)?.querySelector('summary');
                again?.focus({preventScroll: true});
              }
            }
            updated = Date.now();
            notice.hidden = true;
            document.body.classList.remove('stale');
          } catch (error) {
            const time = new Date(updated).toISOString().slice(11, 19);
            notice.textContent = 'Out of date, since ' + time + ' UTC: ' + error.message
              + '. What is shown below may no longer be so. Trying again.';
            notice.hidden = false;
            document.body.classList.add('stale');
          }
          busy = false;
          timer = setTimeout(look, Math.max(every, 4 * (Date.now() - begun)));
        };
        document.addEventListener('visibilitychange', look);
        timer = setTimeout(look, every);
        })();
        """)
}
