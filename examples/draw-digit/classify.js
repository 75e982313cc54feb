/* global tf */

/** The network is small: the processor is as fast as a graphics card, and every browser has one. */
await tf.setBackend("cpu");

const element = (id) => document.getElementById(id);
const drawing = element("drawing");
const pen = drawing.getContext("2d", { willReadFrequently: true });
pen.lineWidth = 22;
pen.lineCap = "round";
pen.lineJoin = "round";
pen.strokeStyle = "#fff";

const preprocessing = await (await fetch("model/preprocessing.json")).json();
const model = await tf.loadLayersModel("model/model.json");
const { height, width, channels, classNames, normalization } = preprocessing;
element("verdict").textContent = "Draw with the mouse or a finger";

/** The drawing at the model's size, placed as the digits of MNIST are: its box is 20 of 28 pixels, its middle in the centre. */
function shrunk() {
  const { data } = pen.getImageData(0, 0, drawing.width, drawing.height);
  let [left, top, right, bottom] = [drawing.width, drawing.height, -1, -1];
  for (let y = 0; y < drawing.height; y++) {
    for (let x = 0; x < drawing.width; x++) {
      if (data[4 * (y * drawing.width + x)] < 64) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const context = small.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  if (right < 0) return undefined;
  const [boxWidth, boxHeight] = [right - left + 1, bottom - top + 1];
  const scale = Math.min((width * 20) / 28 / boxWidth, (height * 20) / 28 / boxHeight);
  const [w, h] = [boxWidth * scale, boxHeight * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(drawing, left, top, boxWidth, boxHeight, (width - w) / 2, (height - h) / 2, w, h);
  return small;
}

/** Pixels as the network takes them: (byte / 255 - mean) / deviation. */
function inputOf(small) {
  const { data } = small.getContext("2d").getImageData(0, 0, width, height);
  const values = new Float32Array(height * width * channels);
  for (let i = 0; i < values.length; i++) {
    const channel = i % channels;
    const byte = data[4 * Math.floor(i / channels) + channel];
    const mean = normalization.mean[normalization.kind === "meanImage" ? i : channel];
    values[i] = (byte / 255 - mean) / normalization.deviation[channel];
  }
  return values;
}

function classify() {
  const small = shrunk();
  if (small === undefined) return;
  const probabilities = tf.tidy(() => {
    const images = tf.tensor(inputOf(small), [1, height, width, channels]);
    return Array.from(model.predict(images).dataSync());
  });
  const best = probabilities.indexOf(Math.max(...probabilities));
  element("seen").src = small.toDataURL("image/png");
  element("verdict").textContent = `This is ${classNames[best]} (${Math.round(probabilities[best] * 100)} %)`;
  element("classes").replaceChildren(
    ...classNames.map((name, i) => {
      const row = document.createElement("tr");
      row.className = i === best ? "best" : "";
      row.dataset.probability = String(probabilities[i]);
      const meter = document.createElement("meter");
      meter.value = probabilities[i];
      for (const content of [name, meter]) row.insertCell().append(content);
      return row;
    }),
  );
}

function clear() {
  pen.clearRect(0, 0, drawing.width, drawing.height);
  element("classes").replaceChildren();
  element("seen").removeAttribute("src");
}

/** A seven, stroke by stroke. */
function drawExample() {
  clear();
  pen.beginPath();
  pen.moveTo(80, 70);
  pen.lineTo(200, 70);
  pen.lineTo(130, 220);
  pen.stroke();
  classify();
}

drawing.addEventListener("pointerdown", (event) => {
  drawing.setPointerCapture(event.pointerId);
  pen.beginPath();
  pen.moveTo(event.offsetX, event.offsetY);
  pen.lineTo(event.offsetX, event.offsetY);
  pen.stroke();
});
drawing.addEventListener("pointermove", (event) => {
  if (event.buttons === 0) return;
  pen.lineTo(event.offsetX, event.offsetY);
  pen.stroke();
});
drawing.addEventListener("pointerup", classify);
element("clear").addEventListener("click", clear);
element("example").addEventListener("click", drawExample);
if (location.hash === "#draw") drawExample();
