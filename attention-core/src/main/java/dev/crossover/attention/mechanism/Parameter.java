// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// One parameter of a mechanism; placed on a record component.
///
/// The command-line name is the component's name in snake case (`numFeatures` → `num_features`).
/// Types: `int`, `long`, `double`, `boolean`, an enum (tokens are the constants in lower case),
/// `OptionalInt`, `OptionalDouble`, and `List` of `Integer` or of an enum (items joined by `/`).
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Parameter {
  /// One line: meaning, unit, range.
  String value();

  /// Default as written on the command line; empty means absent for optional types and lists.
  String defaultValue();

  /// What a golden file means that does not say; empty means the same as the default.
  ///
  /// For options the files' format does not know, where the default here is not what the published
  /// code does.
  String goldenDefault() default "";

  /// Name when it is not the component's name in snake case.
  String name() default "";
}
