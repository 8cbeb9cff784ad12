-- MySQL dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `connect`;
CREATE TABLE `connect` (
  `sender_name` varchar(64) NOT NULL,
  `first_seen` timestamp NOT NULL DEFAULT current_timestamp(),
  KEY `connect_idx` (`src`)
) ENGINE=InnoDB;
LOCK TABLES `connect` WRITE;
INSERT INTO `connect` VALUES ('bob','example.org','192.0.2','foo@example.test','2025-12-01 00:46:40'),('-undef-','-undef-','198.51.100.7','foo@example.test','2025-12-01 00:46:41'),('o\'hara','example.net','2001:db8:1:2','bar@example.test','2025-12-01 00:46:42');
UNLOCK TABLES;
INSERT INTO `from_awl` VALUES ('bob','example.org','203.0.113','2025-11-01 00:00:00','2025-12-01 00:46:40');
INSERT INTO `domain_awl` VALUES ('example.org','203.0.114','2025-11-01 00:00:00','2025-12-01 00:46:40');
