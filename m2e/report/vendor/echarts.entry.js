// The parts of Apache ECharts that the page uses. To make echarts.min.js again, with a newer version for example:
//   npm install echarts@6.1.0 esbuild && npx esbuild echarts.entry.js --bundle --minify --format=iife \
//     --global-name=echarts --legal-comments=eof --outfile=echarts.min.js
export { init } from "echarts/core";
import { use } from "echarts/core";
import { BarChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent, BrushComponent, DataZoomInsideComponent, GridComponent, MarkLineComponent, TooltipComponent,
} from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
use([
  BarChart, ScatterChart, AriaComponent, BrushComponent, DataZoomInsideComponent, GridComponent, MarkLineComponent,
  TooltipComponent, CanvasRenderer,
]);
