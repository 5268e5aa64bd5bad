// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// What documentation says of an input; placed on the record that declares it.
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface InputInfo {
  /// Name on the command line and in records.
  String name();

  /// What queries and keys are, in a few words.
  String title();
}
