// A button that asks Python for a file and saves it where the browser saves files.
export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "dt-control";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "dt-main";
    box.append(button);
    el.append(box);

    function show() {
      button.textContent = model.get("description");
      button.disabled = model.get("disabled");
    }
    button.addEventListener("click", () => {
      button.disabled = true;
      model.send({ type: "want" });
    });
    model.on("msg:custom", (message, buffers) => {
      show();
      if (!buffers.length) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.kind }));
      link.download = message.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    });
    model.on("change", show);
    show();
  },
};
