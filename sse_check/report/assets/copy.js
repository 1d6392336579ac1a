// Copying what is to be changed, unfolding what is printed, and the word to the style sheet that scripts run.
"use strict";
document.documentElement.classList.add("js");
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(.points)")) details.open = true;
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre");
    let copied = false;
    try {
      await navigator.clipboard.writeText(text.textContent);
      copied = true;
    } catch { // a page from a file may have no clipboard; then the text is left selected
      getSelection().selectAllChildren(text);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected: press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  });
}
