// SPDX-License-Identifier: Apache-2.0
//
// A plot of named points as an SVG image: axes with round numbers, labels that keep out of each
// other's way, colours that follow the reader's light or dark theme. It needs nothing but itself.
#pragma once

#include <string>
#include <vector>

namespace nibble::cli {

struct PlotPoint {
  double x = 0, y = 0;  // finite
  std::string label;
  bool reference = false;  // drawn as a ring
};

struct ScatterPlot {
  std::string title, x_title, y_title;
  std::vector<PlotPoint> points;  // at least one
};

std::string scatter_svg(const ScatterPlot& plot);

}  // namespace nibble::cli
