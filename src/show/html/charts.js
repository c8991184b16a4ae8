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
    labelOverlap: true, labelSeparation: 3, labelFlush: true, tickSize: 4, titlePadding: 8,
  },
  legend: { ...label, ...title, symbolSize: 120, rowPadding: 4, columnPadding: 18, orient: "top", direction: "horizontal" },
  title: { font, fontSize: 13, fontWeight: 600, color: "var(--ink)", anchor: "start" },
  text: { font, fontSize: 12, fill: "var(--ink)" },
  style: { "guide-label": { font }, "guide-title": { font } },
};

// In a folded part of the page a chart has no width: it is drawn when it gets one.
class Chart {
  constructor(place) {
    this.drawing = place.querySelector(".drawing");
    this.spec = JSON.parse(place.querySelector("script").textContent);
    this.spec.autosize = { type: "fit-x", contains: "padding" };
    this.widest = this.spec.usermeta?.widest ?? Infinity;
  }
  fit() {
    const width = Math.min(Math.floor(this.drawing.clientWidth), this.widest);
    if (width === 0 || width === this.width) return;
    this.width = width;
    if (!this.view) {
      this.view = new View(parse({ ...this.spec, width }, config, { ast: true }), {
        expr: expressionInterpreter, renderer: "svg", container: this.drawing, hover: true,
      });
    }
    this.view.width(width).run();
  }
}

const charts = [];
for (const place of document.querySelectorAll(".chart")) {
  const drawing = place.querySelector(".drawing");
  try {
    const chart = new Chart(place);
    charts.push(chart);
    chart.fit();
    new ResizeObserver(() => chart.fit()).observe(drawing);
  } catch (error) {
    drawing.textContent = "This chart cannot be drawn: " + error.message;
  }
}

// Paper cannot be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open], .licence)")];
  for (const each of folded) each.open = true;
  for (const chart of charts) chart.fit();
});
addEventListener("afterprint", () => {
  for (const each of folded) each.open = false;
});
