// A range with its name and its value: the browser's own, so keys and screen readers work.
export default {
  render({ model, el }) {
    const label = document.createElement("label");
    label.className = "dt-control dt-slider";
    const name = document.createElement("span");
    const output = document.createElement("output");
    const input = document.createElement("input");
    input.type = "range";
    label.append(name, output, input);
    el.append(label);

    function show() {
      name.textContent = model.get("description");
      input.setAttribute("aria-label", model.get("description"));
      for (const trait of ["min", "max", "step"]) input[trait] = model.get(trait);
      input.disabled = model.get("disabled");
      input.value = model.get("value");
      write(model.get("value"));
    }
    function write(value) {
      const text = Number(value).toFixed(model.get("digits")) + model.get("unit");
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    }
    input.addEventListener("input", () => {
      write(input.value);
      model.set("value", Number(input.value));
      model.save_changes();
    });
    model.on("change", show);
    show();
  },
};
