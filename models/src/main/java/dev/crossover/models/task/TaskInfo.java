// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// What documentation says of a task; placed on its record.
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface TaskInfo {
  /// Name on the command line and in sample files.
  String name();

  /// A few words.
  String title();

  /// Who defined it.
  String source();

  /// One sentence: what a model has to do.
  String asks();

  /// One sentence: how the solver finds the labels.
  String solver();

  /// What others published, a line each: setting, model, value, and whether the number was read in
  /// the source or is quoted from memory.
  String[] published() default {};
}
