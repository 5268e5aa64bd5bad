// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// Says that a [Parameter] holds a branch of its mechanism, which one value switches off; placed
/// beside it. What `crossover swap` can leave out. Branches that a gate weighs are declared by
/// [Mechanism#gatedBranches].
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Branch {
  /// What the branch is called, one word.
  String value();

  /// The parameter's value, as on the command line, with which the branch does nothing.
  String off() default "0";
}
