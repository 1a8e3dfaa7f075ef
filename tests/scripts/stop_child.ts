/**
 * Listens for signals, then computes without a break: nothing but the system can end it. With
 * `orderly`, ends by itself a while later.
 */
import { listenForStop } from "../../scripts/stop.ts";

const { signal, close } = listenForStop();
const alive = setInterval(() => {}, 1000);
signal.addEventListener("abort", () => {
  console.log("asked to stop");
  if (Deno.args[0] === "orderly") {
    setTimeout(() => {
      console.log("stopped");
      clearInterval(alive);
      close();
    }, 100);
    return;
  }
  for (;;);
});
console.log("listening");
