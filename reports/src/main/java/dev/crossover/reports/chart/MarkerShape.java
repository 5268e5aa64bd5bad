// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import java.awt.BasicStroke;
import java.awt.Graphics2D;
import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Path2D;
import org.knowm.xchart.style.markers.Marker;

/// Shapes of data points; the page draws the same ones by name.
public enum MarkerShape {
  /// Disc.
  CIRCLE,
  /// Square.
  SQUARE,
  /// Square on its corner.
  DIAMOND,
  /// Triangle, tip up.
  TRIANGLE,
  /// Triangle, tip down.
  WEDGE,
  /// Five-sided.
  PENTAGON,
  /// Upright cross.
  PLUS,
  /// Diagonal cross.
  CROSS,
  /// Five-pointed star.
  STAR;

  /// The shape around the origin, about as large as a disc of diameter 1.
  Shape unit() {
    return switch (this) {
      case CIRCLE -> new Ellipse2D.Double(-0.5, -0.5, 1, 1);
      case SQUARE -> polygon(4, Math.PI / 4, 0.62, 0.62);
      case DIAMOND -> polygon(4, 0, 0.66, 0.66);
      case TRIANGLE -> polygon(3, -Math.PI / 2, 0.66, 0.66);
      case WEDGE -> polygon(3, Math.PI / 2, 0.66, 0.66);
      case PENTAGON -> polygon(5, -Math.PI / 2, 0.58, 0.58);
      case PLUS -> cross(0);
      case CROSS -> cross(Math.PI / 4);
      case STAR -> polygon(10, -Math.PI / 2, 0.7, 0.3);
    };
  }

  /// The shape as a chart marker, filled.
  Marker marker() {
    return marker(false);
  }

  /// Only its outline, for points that are no result.
  Marker hollow() {
    return marker(true);
  }

  private Marker marker(boolean hollow) {
    Shape unit = unit();
    return new Marker() {
      @Override
      public void paint(Graphics2D g, double x, double y, int size) {
        AffineTransform place = AffineTransform.getTranslateInstance(x, y);
        place.scale(size, size);
        Shape shape = place.createTransformedShape(unit);
        if (hollow) {
          g.setStroke(new BasicStroke(1.5f));
          g.draw(shape);
        } else {
          g.fill(shape);
        }
      }
    };
  }

  private static Shape polygon(int corners, double start, double outer, double inner) {
    Path2D.Double path = new Path2D.Double();
    for (int i = 0; i < corners; i++) {
      double angle = start + 2 * Math.PI * i / corners;
      double radius = i % 2 == 0 ? outer : inner;
      double x = radius * Math.cos(angle);
      double y = radius * Math.sin(angle);
      if (i == 0) {
        path.moveTo(x, y);
      } else {
        path.lineTo(x, y);
      }
    }
    path.closePath();
    return path;
  }

  private static Shape cross(double angle) {
    double a = 0.62;
    double b = 0.17;
    double[][] corners = {
      {-b, -a}, {b, -a}, {b, -b}, {a, -b}, {a, b}, {b, b},
      {b, a}, {-b, a}, {-b, b}, {-a, b}, {-a, -b}, {-b, -b}
    };
    Path2D.Double path = new Path2D.Double();
    path.moveTo(corners[0][0], corners[0][1]);
    for (int i = 1; i < corners.length; i++) {
      path.lineTo(corners[i][0], corners[i][1]);
    }
    path.closePath();
    return AffineTransform.getRotateInstance(angle).createTransformedShape(path);
  }
}
