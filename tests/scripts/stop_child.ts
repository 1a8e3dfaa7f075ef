/** Listens for signals, then computes without a break: nothing but the system can end it. */
import { listenForStop } from "../../scripts/stop.ts";

const { signal } = listenForStop();
signal.addEventListener("abort", () => {
  console.log("asked to stop");
  for (;;);
});
setInterval(() => {}, 1000);
console.log("listening");
