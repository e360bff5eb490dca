// Shows what arrives in a list without a reload, and shows another mailbox or folder as soon as it is chosen.
"use strict";
const list = document.getElementById("list");
if (list) {
  let shown = null;
  const look = async () => {
    if (document.hidden || list.contains(document.activeElement)) return;
    try {
      const answer = await fetch(list.dataset.part);
      if (!answer.ok) return;
      const text = await answer.text();
      if (text !== shown) list.innerHTML = text;
      shown = text;
    } catch {
      // The sandbox was stopped, or is about to answer again: the next look says which.
    }
  };
  setInterval(look, 2000);
}
for (const choice of document.querySelectorAll(".choose select")) {
  choice.addEventListener("change", () => {
    // Folders of one mailbox are none of another one.
    const folder = choice.form.elements.folder;
    if (choice.name === "owner" && folder) folder.disabled = true;
    choice.form.submit();
  });
}
