// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// Says that a [Parameter] trades accuracy for work; placed beside it. What `crossover tune`
/// searches.
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Knob {
  /// Sensible values, ascending.
  int[] values();

  /// Which way accuracy goes.
  Accuracy accuracy() default Accuracy.RISES;

  /// What larger values cost, in a few words.
  String costs();

  /// Where accuracy goes as a value grows.
  enum Accuracy {
    /// Up.
    RISES,
    /// Down: smaller values are more accurate at the same other settings.
    FALLS,
    /// Neither, in general: it depends on the other settings and on the data.
    DEPENDS
  }
}
