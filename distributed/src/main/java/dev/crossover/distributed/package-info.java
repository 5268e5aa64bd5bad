// SPDX-License-Identifier: Apache-2.0
/// Studies that time nothing, their points computed by the executors of Apache Spark, their records
/// kept by the driver.
@NullMarked
package dev.crossover.distributed;

import org.jspecify.annotations.NullMarked;
