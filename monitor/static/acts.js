// What a person does: acknowledge, silence, sign off, reject. It counts once the server has it on
// the topic; the page shows it once the worker says what came of it.

function say(words, bad = false) {
  const notice = document.createElement("p");
  notice.textContent = words;
  notice.className = bad ? "broken" : "notice";
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), bad ? 30_000 : 6_000);
}

async function send(button, reason) {
  const { act, about, patient } = button.dataset;
  const same = () => document.getElementById(button.id); // it may have been replaced meanwhile
  button.disabled = true;
  try {
    const answer = await fetch("/api/actions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ action: act, patient_id: patient || null, about, reason, until: null }),
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? answer.status);
    say(`${act}: recorded.`);
    setTimeout(() => {
      const still = same();
      if (still) still.disabled = false; // it was recorded, and nothing came of it yet
    }, 5_000);
  } catch (error) {
    say(`${act}: NOT recorded (${error.message ?? error}). Try again.`, true);
    const still = same();
    if (still) still.disabled = false;
  }
}

function ask(button) {
  const dialog = document.getElementById("ask");
  const form = dialog.querySelector("form");
  const reason = document.getElementById("ask-reason");
  const must = button.dataset.act === "reject";
  const words = must ? "Reject" : "Sign off";
  document.getElementById("ask-title").textContent = `${words}: ${button.dataset.text}`;
  document.getElementById("ask-about").textContent = document.getElementById("head").dataset.called;
  document.getElementById("ask-needed").textContent = must ? "(needed)" : "(if you like)";
  document.getElementById("ask-yes").textContent = words;
  reason.value = "";
  reason.required = must;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") send(button, reason.value.trim() || null);
  };
  form.onsubmit = (event) => {
    if (event.submitter?.value === "yes" && must && !reason.value.trim()) {
      event.preventDefault();
      reason.setCustomValidity("A rejection needs a reason.");
      reason.reportValidity();
    }
  };
  reason.oninput = () => reason.setCustomValidity("");
  dialog.showModal();
}

export function offerActs() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    if (document.documentElement.dataset.feed !== "live") {
      say("The page is not up to date: nothing was sent.", true);
    } else if (["sign-off", "reject"].includes(button.dataset.act)) ask(button);
    else send(button, null);
  });
}
