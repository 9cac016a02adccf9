// Files from the browser to Python, in pieces: a websocket takes no large message. Each piece waits
// for Python's word, so nothing piles up; a file that Python refuses is not sent.

const PIECE = 2 ** 20; // bytes

export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "dt-control dt-drop";
    const text = document.createElement("p");
    text.textContent = model.get("description");
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.accept = model.get("accept");
    input.id = `dt-upload-${Math.random().toString(36).slice(2)}`;
    const label = document.createElement("label");
    label.htmlFor = input.id;
    label.textContent = model.get("button");
    const bar = document.createElement("progress");
    bar.hidden = true;
    bar.setAttribute("aria-label", "Upload");
    box.append(text, input, label, bar);
    el.append(box);

    let heard = () => {};
    model.on("msg:custom", (message) => heard(message));
    function ask(content, buffers = []) {
      return new Promise((resolve) => {
        heard = resolve;
        model.send(content, undefined, buffers);
      });
    }

    async function send(files) {
      input.disabled = true;
      bar.hidden = false;
      for (const file of files) await sendOne(file);
      bar.hidden = true;
      input.disabled = false;
      input.value = "";
      model.send({ type: "all" });
    }

    async function sendOne(file) {
      const { go } = await ask({ type: "begin", name: file.name, size: file.size });
      if (!go) return;
      for (let at = 0; at < file.size; at += PIECE) {
        bar.value = at / file.size;
        let piece;
        try {
          piece = await file.slice(at, at + PIECE).arrayBuffer();
        } catch (error) { // a folder, or a file that is locked or has gone
          await ask({ type: "broken", why: error.message });
          return;
        }
        await ask({ type: "piece" }, [piece]);
      }
      await ask({ type: "end" });
    }

    input.addEventListener("change", () => input.files.length && send([...input.files]));
    box.addEventListener("dragover", (event) => {
      event.preventDefault();
      box.classList.add("dt-over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("dt-over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("dt-over");
      const files = [...event.dataTransfer.files];
      if (files.length && !input.disabled) send(files);
    });
  },
};
