// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Series;
import java.awt.BasicStroke;
import java.awt.Color;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Looks of a mechanism, the same in every chart of every report: hue and marker follow from its
/// place in the catalogue, so adding a series to a chart changes no other.
///
/// Ten hues in the spirit of Okabe and Ito's and Tol's colour-blind safe sets, nine markers and
/// three dash patterns, stepped so that the first ninety mechanisms all differ in hue or marker.
/// The baselines stand apart: ink for `tiled`, grey for `materialised`. Settings of one mechanism
/// share hue and marker and differ in shade and dash.
public final class Palette {
  private static final String[][] HUES = {
    {"#0072b2", "#5aaee8"},
    {"#d55e00", "#f59350"},
    {"#009e73", "#3ccaa2"},
    {"#b0468f", "#e391c6"},
    {"#b98300", "#f0bd45"},
    {"#3a9fd1", "#86d0f5"},
    {"#882255", "#dd7fae"},
    {"#6f7a16", "#bdc653"},
    {"#4b3fae", "#a59bf5"},
    {"#8a5a2b", "#cfa06f"},
  };
  private static final String[] INK = {"#16181d", "#f2f3f5"};
  private static final String[] GREY = {"#7b8390", "#9aa2b0"};
  private static final float[][] DASHES = {{}, {9, 4}, {2, 4}, {9, 3, 2, 3}};
  private static final float WIDTH = 2f;
  private static final double SHADE = 0.24;

  private Palette() {}

  /// Looks of one series.
  ///
  /// @param light colour on white, `#rrggbb`
  /// @param dark colour on a dark ground, `#rrggbb`
  /// @param marker shape of its points
  /// @param dash lengths of dashes and gaps in pixels, empty for a solid line
  /// @param width line width in pixels
  public record Look(String light, String dark, MarkerShape marker, List<Float> dash, float width) {

    Color color() {
      return Color.decode(light);
    }

    BasicStroke stroke() {
      return dash.isEmpty()
          ? new BasicStroke(width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND)
          : new BasicStroke(width, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, array(dash), 0);
    }
  }

  /// Looks of all series of a panel, by spec.
  public static Map<String, Look> of(List<Series> series) {
    Map<String, Look> looks = new LinkedHashMap<>();
    Map<String, Integer> settings = new LinkedHashMap<>();
    for (Series one : series) {
      int setting = settings.merge(one.mechanism(), 1, Integer::sum) - 1;
      looks.put(one.spec(), look(one.mechanism(), setting));
    }
    return looks;
  }

  /// Looks of a mechanism.
  ///
  /// @param mechanism name in the catalogue; names outside it take looks by their hash
  /// @param setting number of the setting among those of the mechanism in one chart, from zero
  public static Look look(String mechanism, int setting) {
    if (PanelAnswer.BASELINES.contains(mechanism)) {
      boolean tiled = mechanism.equals("tiled");
      String[] hue = tiled ? INK : GREY;
      return new Look(
          shade(hue[0], setting, Color.WHITE),
          shade(hue[1], setting, Color.WHITE),
          tiled ? MarkerShape.CIRCLE : MarkerShape.SQUARE,
          list(DASHES[setting % DASHES.length]),
          WIDTH + 0.6f);
    }
    int index = index(mechanism);
    String[] hue = HUES[index % HUES.length];
    MarkerShape[] markers = MarkerShape.values();
    return new Look(
        shade(hue[0], setting, Color.WHITE),
        shade(hue[1], setting, Color.WHITE),
        markers[index % markers.length],
        list(DASHES[(index / HUES.length + setting) % DASHES.length]),
        WIDTH);
  }

  /// Ink or white, `#rrggbb`, whichever is read better on a colour.
  public static String on(String colour) {
    return readsWhite(Color.decode(colour)) ? "#ffffff" : INK[0];
  }

  /// Whether white has the larger contrast on a colour than ink, by relative luminance.
  static boolean readsWhite(Color colour) {
    double ground = luminance(colour) + 0.05;
    return 1.05 / ground > ground / (luminance(Color.decode(INK[0])) + 0.05);
  }

  private static double luminance(Color colour) {
    return 0.2126 * linear(colour.getRed())
        + 0.7152 * linear(colour.getGreen())
        + 0.0722 * linear(colour.getBlue());
  }

  private static double linear(int part) {
    double value = part / 255.0;
    return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
  }

  /// Place in the catalogue after the baselines; a name outside it gets a place by its hash.
  private static int index(String mechanism) {
    return Labels.find(mechanism).isPresent()
        ? Math.max(0, Labels.order(mechanism) - PanelAnswer.BASELINES.size())
        : Math.floorMod(mechanism.hashCode(), HUES.length * MarkerShape.values().length);
  }

  private static String shade(String hex, int setting, Color ground) {
    Color color = Color.decode(hex);
    double share = SHADE * (setting % 3);
    return "#%02x%02x%02x"
        .formatted(
            mix(color.getRed(), ground.getRed(), share),
            mix(color.getGreen(), ground.getGreen(), share),
            mix(color.getBlue(), ground.getBlue(), share));
  }

  private static int mix(int a, int b, double share) {
    return (int) Math.round(a * (1 - share) + b * share);
  }

  private static List<Float> list(float[] values) {
    List<Float> list = new ArrayList<>();
    for (float value : values) {
      list.add(value);
    }
    return List.copyOf(list);
  }

  private static float[] array(List<Float> values) {
    float[] array = new float[values.size()];
    for (int i = 0; i < array.length; i++) {
      array[i] = values.get(i);
    }
    return array;
  }
}
