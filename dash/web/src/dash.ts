// What the pages do when a script may run. Without one they show the same, and are
// loaded again by hand.
import { follow } from "./live";
import { drawCharts } from "./charts";

drawCharts();
document.addEventListener("dash:changed", drawCharts);
const live = document.body.dataset.live;
if (live) follow(live, document.body.dataset.stale ?? "");
