import { render } from "preact";
import { App } from "./app.tsx";
import { Client } from "./data/client.ts";
import { RunList } from "./data/run-list.ts";
import "./style.css";

const list = new RunList(new Client());
list.start();
const place = document.getElementById("app");
if (place !== null) render(<App list={list} />, place);
