"use strict";

document.documentElement.classList.add("scripted");

/** Lets a slide be uncovered by pointer, touch and keyboard. */
function enliven(slide) {
  const frame = slide.querySelector(".frame");
  const range = slide.querySelector("input");
  const show = () => frame.style.setProperty("--split", `${range.value}%`);
  const follow = (event) => {
    const box = frame.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  range.addEventListener("input", show);
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // or the range would lose the focus that it is given
    frame.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  show(); // browsers keep what ranges were set to when a page is loaded again
}

/** Shows the chosen two versions on all slides. */
function choose(chooser, slides) {
  for (const side of ["left", "right"]) {
    const { value, selectedOptions } = chooser.elements[side];
    for (const slide of slides) {
      for (const image of slide.querySelectorAll("img")) {
        image.classList.toggle(side, image.dataset.version === value);
      }
      slide.querySelector(`.name.${side}`).textContent = selectedOptions[0].textContent;
    }
  }
}

const slides = document.querySelectorAll(".slide");
slides.forEach(enliven);
const chooser = document.querySelector(".chooser");
if (chooser) {
  chooser.addEventListener("change", () => choose(chooser, slides));
  choose(chooser, slides);
}
