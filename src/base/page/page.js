// Draws the charts of a page. Their colours are the page's own (var(--ink)), so a change from light to dark needs nothing
// here; a change of width draws anew. Vega interprets its expressions: nothing is evaluated as code.
const { transforms } = modules["vega-dataflow"];
Object.assign(transforms, modules["vega-transforms"], modules["vega-view-transforms"], modules["vega-encode"]);
const { parse } = modules["vega-parser"];
const { View } = modules["vega-view"];
const { expressionInterpreter } = modules["vega-interpreter"];

const font = getComputedStyle(document.body).fontFamily;
const label = { labelFont: font, labelFontSize: 12, labelColor: "var(--muted)" };
const title = { titleFont: font, titleFontSize: 12, titleFontWeight: "normal", titleColor: "var(--muted)" };
const config = {
  background: null,
  axis: {
    ...label, ...title,
    domainColor: "var(--rule)", tickColor: "var(--rule)", gridColor: "var(--rule)",
    labelOverlap: true, labelFlush: true, tickSize: 4, titlePadding: 8,
  },
  legend: { ...label, ...title, symbolSize: 120, rowPadding: 4, columnPadding: 18, orient: "top", direction: "horizontal" },
  title: { font, fontSize: 13, fontWeight: 600, color: "var(--ink)", anchor: "start" },
  text: { font, fontSize: 12, fill: "var(--ink)" },
  style: { "guide-label": { font }, "guide-title": { font } },
};

function draw(place) {
  const spec = JSON.parse(place.querySelector("script").textContent);
  const drawing = place.querySelector(".drawing");
  const width = () => Math.max(200, Math.floor(drawing.clientWidth));
  spec.autosize = { type: "fit-x", contains: "padding" };
  spec.width = width();
  const view = new View(parse(spec, config, { ast: true }), {
    expr: expressionInterpreter, renderer: "svg", container: drawing, hover: true,
  });
  let drawn = spec.width;
  view.runAsync().then(() => {
    new ResizeObserver(() => {
      if (drawing.clientWidth === 0 || width() === drawn) return;
      drawn = width();
      view.width(drawn).runAsync();
    }).observe(drawing);
  });
}

for (const place of document.querySelectorAll(".chart")) {
  try {
    draw(place);
  } catch (error) {
    place.querySelector(".drawing").textContent = "This chart cannot be drawn: " + error.message;
  }
}

// Paper cannot be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open], .licence)")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of folded) each.open = false;
});
