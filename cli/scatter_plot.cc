// SPDX-License-Identifier: Apache-2.0
#include "cli/scatter_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/output.h"

namespace nibble::cli {
namespace {

// Pixels; an image may be scaled, so they only relate to each other.
constexpr double kWidth = 760, kHeight = 460, kRadius = 5;
constexpr double kFontSize = 13, kLineHeight = 16;
constexpr double kCharacterWidth = 0.62 * kFontSize;  // generous for sans-serif fonts

struct PlotBox {
  double left, top, width, height;

  bool overlaps(const PlotBox& other) const {
    return left < other.left + other.width && other.left < left + width &&
           top < other.top + other.height && other.top < top + height;
  }
  bool contains(const PlotBox& other) const {
    return other.left >= left && other.left + other.width <= left + width && other.top >= top &&
           other.top + other.height <= top + height;
  }
};

constexpr PlotBox kFrame{76, 48, kWidth - 76 - 24, kHeight - 48 - 60};

// From numbers to pixels along one axis, over round numbers that enclose all values.
struct Axis {
  std::vector<double> ticks;
  double begin, end;  // pixels of the first and the last tick
  int decimals = 0;

  Axis(double least, double most, double first_pixel, double last_pixel)
      : begin(first_pixel), end(last_pixel) {
    if (most <= least) {  // one value: a range around it
      const double around = std::max(std::fabs(least) * 0.1, 1e-3);
      least -= around;
      most += around;
    }
    const double margin = 0.06 * (most - least);  // keeps points off the frame
    const double raw = (most - least) / 5;
    const double magnitude = std::pow(10.0, std::floor(std::log10(raw)));
    double step = magnitude;
    for (const double factor : {2.0, 5.0, 10.0}) {
      if (step < raw) step = factor * magnitude;
    }
    const auto first = static_cast<int64_t>(std::floor((least - margin) / step));
    const auto last = static_cast<int64_t>(std::ceil((most + margin) / step));
    for (int64_t i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
    decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  }

  double pixel(double value) const {
    return begin + (value - ticks.front()) / (ticks.back() - ticks.front()) * (end - begin);
  }
};

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::string shortened(const std::string& label) {
  constexpr int kLongest = 32;
  int characters = 0;
  for (size_t at = 0; at < label.size(); ++at) {
    if (begins_character(label[at]) && ++characters > kLongest) return label.substr(0, at) + "…";
  }
  return label;
}

double text_width(const std::string& text) {
  return static_cast<double>(std::ranges::count_if(text, begins_character)) * kCharacterWidth;
}

// A place for each label: beside its mark, or else on wider and wider rings around it. The first
// that is free is taken; where none is, labels may overlap.
std::vector<PlotBox> place_labels(const std::vector<PlotBox>& marks,
                                  const std::vector<std::string>& labels) {
  std::vector<PlotBox> taken = marks, places;
  for (size_t i = 0; i < marks.size(); ++i) {
    const double width = text_width(labels[i]);
    const double x = marks[i].left + marks[i].width / 2, y = marks[i].top + marks[i].height / 2;
    const auto candidate = [&](double distance, double angle) {
      const double dx = std::cos(angle), dy = -std::sin(angle);
      return PlotBox{x + dx * (distance + width / 2) - width / 2,
                     y + dy * (distance + kLineHeight / 2) - kLineHeight / 2, width, kLineHeight};
    };
    PlotBox place = candidate(kRadius + 4, 0);
    const auto is_free = [&](const PlotBox& box) {
      return kFrame.contains(box) &&
             std::ranges::none_of(taken, [&](const PlotBox& other) { return box.overlaps(other); });
    };
    constexpr int kAngles = 16;
    bool found = is_free(place);
    for (double distance = kRadius + 4; !found && distance < kFrame.width; distance += 8) {
      for (int step = 0; !found && step < kAngles; ++step) {
        const PlotBox box = candidate(distance, 2 * 3.14159265358979 * step / kAngles);
        if ((found = is_free(box))) place = box;
      }
    }
    taken.push_back(place);
    places.push_back(place);
  }
  return places;
}

// Colours by class, so that a page may set its own; light unless the reader prefers dark.
constexpr const char* kStyle =
    "<style>\n"
    ".plot{font-family:system-ui,sans-serif;font-size:13px}\n"
    ".plot .ground{fill:#ffffff}.plot text{fill:#1f2328}.plot .quiet{fill:#59636e}\n"
    ".plot .grid{stroke:#d1d9e0}.plot .frame,.plot .leader{stroke:#59636e;fill:none}\n"
    ".plot .mark{fill:#0969da;stroke:#0969da;stroke-width:2}\n"
    ".plot .reference{fill:none;stroke:#bc4c00;stroke-width:3}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".plot .ground{fill:#0d1117}.plot text{fill:#f0f6fc}.plot .quiet{fill:#9198a1}\n"
    ".plot .grid{stroke:#3d444d}.plot .frame,.plot .leader{stroke:#9198a1}\n"
    ".plot .mark{fill:#4493f8;stroke:#4493f8}.plot .reference{stroke:#f0883e}}\n"
    "</style>\n";

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format(
      "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1,
      y1, x2, y2);
}

std::string text_at(double x, double y, const char* attributes, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes,
                     escape_markup(text));
}

std::string axes(const ScatterPlot& plot, const Axis& x, const Axis& y) {
  const double right = kFrame.left + kFrame.width, bottom = kFrame.top + kFrame.height;
  std::string svg;
  for (const double tick : x.ticks) {
    svg += line(x.pixel(tick), kFrame.top, x.pixel(tick), bottom, "grid");
    svg += text_at(x.pixel(tick), bottom + 18, "class=\"quiet\" text-anchor=\"middle\"",
                   fmt::format("{:.{}f}", tick, x.decimals));
  }
  for (const double tick : y.ticks) {
    svg += line(kFrame.left, y.pixel(tick), right, y.pixel(tick), "grid");
    svg += text_at(kFrame.left - 8, y.pixel(tick) + 4, "class=\"quiet\" text-anchor=\"end\"",
                   fmt::format("{:.{}f}", tick, y.decimals));
  }
  svg += fmt::format("<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                     kFrame.left, kFrame.top, kFrame.width, kFrame.height);
  svg +=
      text_at(kFrame.left + kFrame.width / 2, kHeight - 16, "text-anchor=\"middle\"", plot.x_title);
  const double middle = kFrame.top + kFrame.height / 2;
  svg +=
      text_at(16, middle,
              fmt::format("text-anchor=\"middle\" transform=\"rotate(-90 16 {})\"", middle).c_str(),
              plot.y_title);
  return svg + text_at(kFrame.left, 28, "font-size=\"16\" font-weight=\"600\"", plot.title);
}

// From a label that could not stand beside its mark, to the mark.
std::string leader(const PlotBox& mark, const PlotBox& label) {
  const double x = mark.left + mark.width / 2, y = mark.top + mark.height / 2;
  const double near_x = std::clamp(x, label.left, label.left + label.width);
  const double near_y = std::clamp(y, label.top, label.top + label.height);
  if (std::hypot(near_x - x, near_y - y) < 3 * kRadius) return "";
  return line(near_x, near_y, x, y, "leader");
}

}  // namespace

std::string scatter_svg(const ScatterPlot& plot) {
  const auto [left, right] = std::ranges::minmax(plot.points, {}, &PlotPoint::x);
  const auto [low, high] = std::ranges::minmax(plot.points, {}, &PlotPoint::y);
  const Axis x(left.x, right.x, kFrame.left, kFrame.left + kFrame.width);
  const Axis y(low.y, high.y, kFrame.top + kFrame.height, kFrame.top);
  std::vector<PlotBox> marks;
  std::vector<std::string> labels;
  for (const PlotPoint& point : plot.points) {
    marks.push_back(
        {x.pixel(point.x) - kRadius, y.pixel(point.y) - kRadius, 2 * kRadius, 2 * kRadius});
    labels.push_back(shortened(point.label));
  }
  const std::vector<PlotBox> places = place_labels(marks, labels);

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {0} {1}\" "
      "width=\"{0}\" height=\"{1}\" role=\"img\">\n<title>{2}</title>\n{3}"
      "<rect class=\"ground\" width=\"{0}\" height=\"{1}\"/>\n",
      kWidth, kHeight, escape_markup(plot.title), kStyle);
  svg += axes(plot, x, y);
  for (size_t i = 0; i < marks.size(); ++i) {
    svg += leader(marks[i], places[i]);
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n",
                       plot.points[i].reference ? "reference" : "mark", marks[i].left + kRadius,
                       marks[i].top + kRadius, kRadius);
    svg += text_at(places[i].left + places[i].width / 2, places[i].top + kLineHeight - 4,
                   "class=\"label\" text-anchor=\"middle\"", labels[i]);
  }
  return svg + "</svg>\n";
}

}  // namespace nibble::cli
